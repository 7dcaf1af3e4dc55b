import { input, reshape } from "../graph/build.ts";
import type { Value } from "../graph/value.ts";
import { zerosInit } from "../nn/initializers.ts";
import { linear } from "../nn/layers/linear.ts";
import { dropout } from "../nn/layers/pointwise.ts";
import { globalAvgPool } from "../nn/layers/pool.ts";
import { type Module, sequential } from "../nn/module.ts";
import type { ParameterKind } from "../nn/parameter.ts";
import { trace } from "../nn/trace.ts";
import type { Shape } from "../tensor/shape.ts";
import { assemble, type Model, type ModelOptions } from "./model.ts";

/** A weight of a network that was built elsewhere. A statistic is a running one, which training leaves as it is. */
export interface ImportedWeight {
  readonly name: string;
  readonly shape: Shape;
  readonly role: ParameterKind | "statistic";
}

export interface ImportedOptions extends Required<ModelOptions> {
  readonly weights: readonly ImportedWeight[];
  /** Images to maps [N, C, h, w] or features [N, C]. */
  readonly build: (images: Value, weight: (name: string) => Value) => Value;
  readonly dropoutRate: number;
}

/** Of the network in front of the classifier; the classifier is called "classifier". */
export const trunkPrefix = "trunk.";

/**
 * A network that was built elsewhere under a linear layer of ours, behind the average over its maps. Its weights are
 * called `trunk.NAME`; they have no first values of their own.
 */
export function importedModel(options: ImportedOptions): Model {
  const { classes, height, width, weights, build, dropoutRate } = options;
  const named = weights.map(({ name, ...rest }) => ({ ...rest, name: `${trunkPrefix}${name}`, init: zerosInit }));
  const buffers = named.filter(({ role }) => role === "statistic");
  const isBuffer = new Set(buffers.map(({ name }) => name));
  const trunk: Module = {
    parameters: named.flatMap(({ role: kind, ...weight }) =>
      kind === "statistic" ? [] : [{ ...weight, kind, trainable: true }],
    ),
    buffers,
    forward(x, ctx) {
      const features = build(x, (name) => {
        const own = `${trunkPrefix}${name}`;
        return isBuffer.has(own) ? ctx.buffer(own) : ctx.parameter(own);
      });
      return features.shape.length === 4 ? features : reshape(features, [...features.shape, 1, 1]);
    },
  };
  const image = input("images", "float32", [1, 3, height, width]);
  const featureChannels = trace(trunk, image, "eval").output.shape[1]!;
  return assemble({
    ...{ name: "imported", family: "imported", classes, height, width, featureChannels, classifier: "classifier" },
    stages: [trunk],
    head: sequential(
      globalAvgPool,
      dropout("classifier", dropoutRate),
      linear("classifier", { inFeatures: featureChannels, outFeatures: classes }),
    ),
  });
}
