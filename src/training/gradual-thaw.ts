import { assemble, type Model } from "../models/model.ts";
import { frozen } from "../nn/module.ts";

/**
 * Gradual unfreezing (Howard and Ruder 2018): the model as it is trained in an epoch, counted from 0, when the head begins
 * and one more stage joins it every `every` epochs, the last one first. It is the same object until a stage joins.
 */
export function gradualThaw(model: Model, every: number): (epoch: number) => Model {
  const { stages } = model;
  const byFrozen = new Map<number, Model>([[0, model]]);
  return (epoch) => {
    const count = Math.max(0, stages.length - Math.floor(epoch / every));
    const known = byFrozen.get(count);
    if (known !== undefined) return known;
    const thawing = assemble({ ...model, stages: stages.map((stage, i) => (i < count ? frozen(stage) : stage)) });
    byFrozen.set(count, thawing);
    return thawing;
  };
}
