import { describe, expect, it } from "vitest";
import { createReferenceExecutor } from "../backends/reference/executor.ts";
import { createRng } from "../base/rng.ts";
import { batchAugmentation } from "../data/transforms/batch-augmentation.ts";
import { padCrop } from "../data/transforms/crop-flip.ts";
import { verifyGraph } from "../graph/verify.ts";
import { airbench } from "../models/airbench.ts";
import { initialWeights } from "../models/model.ts";
import { models } from "../models/registry.ts";
import { resnet9 } from "../models/resnet9.ts";
import { adamw } from "../optim/adamw.ts";
import { constantSchedule } from "../optim/schedules.ts";
import { sgd } from "../optim/sgd.ts";
import { floats, scalar, type Tensor, tensor } from "../tensor/tensor.ts";
import { airbenchMuon, airbenchSgd, decayGroups } from "./parameter-groups.ts";
import { buildApplyStep, buildGradStep, buildTrainStep, initialState, type StepOptions } from "./train-step.ts";

const shiftsOf = (height: number, width: number, target = { height: 8, width: 8 }) =>
  batchAugmentation({
    augmentations: [padCrop(2, { height, width })],
    ...{ source: { height, width }, target, border: "reflect", fill: "black" },
  }).stages;
const batchSize = 4;
const tinyModel = resnet9({ classes: 3, height: 8, width: 8, widthFactor: 1 / 16, dropoutRate: 0.25 });
const groups = decayGroups(tinyModel, { learningRate: 0.05, weightDecay: 1e-3, schedule: constantSchedule });
const preparation = {
  mean: [0.5, 0.45, 0.4],
  std: [0.25, 0.2, 0.3],
  augmentation: shiftsOf(8, 8),
};
const tiny: StepOptions = {
  model: tinyModel,
  optimizer: sgd({ groups }),
  batchSize,
  images: preparation,
  labelSmoothing: 0.1,
  gradClipNorm: 1,
  averages: ["ema", "lookahead"],
};

function feedsOf(options: StepOptions, step: number): Record<string, Tensor> {
  const rng = createRng("feeds").split(step);
  const graph = buildTrainStep(options);
  return Object.fromEntries(
    Object.values(graph.inputs).map(({ attrs: { name }, shape }) => {
      const size = shape.reduce((a, b) => a * b, 1);
      if (name === "images")
        return [
          name,
          tensor(
            "uint8",
            shape,
            Uint8Array.from({ length: size }, () => rng.int(256)),
          ),
        ];
      if (name === "labels")
        return [
          name,
          tensor(
            "int32",
            shape,
            Int32Array.from({ length: size }, () => rng.int(3)),
          ),
        ];
      if (name === "augment/warp")
        return [name, floats(shape, Array.from({ length: batchSize }, () => [1, 0, 1, 0, 1, 0]).flat())];
      if (name.startsWith("uniforms/"))
        return [
          name,
          floats(
            shape,
            Float32Array.from({ length: size }, () => rng.uniform()),
          ),
        ];
      if (name === "ema/blend" || name === "lookahead/blend") return [name, scalar(0.3)];
      if (name === "lookahead/sync") return [name, scalar(step % 2)];
      return [name, scalar(options.optimizer.scalarsAt(step)[name]!)];
    }),
  );
}

function pick(feeds: Readonly<Record<string, Tensor>>, names: readonly string[]): Record<string, Tensor> {
  return Object.fromEntries(names.filter((name) => feeds[name] !== undefined).map((name) => [name, feeds[name]!]));
}

/** Of each family the first variant, which is the smallest; the others have the same parts. */
const smallest = Object.values(models).filter(
  ({ family }, i, all) => all.findIndex((other) => other.family === family) === i,
);

describe("training step", () => {
  it.each(smallest)("is a valid graph for $name and every optimiser, whole and in halves", (factory) => {
    const model = factory.build({ classes: 10, height: 32, width: 32 });
    const images = { ...preparation, augmentation: shiftsOf(32, 32, { height: 32, width: 32 }) };
    const groups = decayGroups(model, { learningRate: 0.1, weightDecay: 5e-4, schedule: constantSchedule });
    const optimizers = [
      sgd({ groups }),
      adamw({ groups }),
      airbenchSgd(model, { batchSize, schedule: constantSchedule }),
      airbenchMuon(model, { batchSize, totalSteps: 10, whiteningBiasSteps: 5 }),
    ];
    verifyGraph(buildGradStep({ ...tiny, images, model, optimizer: optimizers[0]! }));
    for (const optimizer of optimizers) {
      for (const build of [buildTrainStep, buildApplyStep]) verifyGraph(build({ ...tiny, images, model, optimizer }));
    }
  });

  it("computes the same bits whole and in halves", async () => {
    const executor = createReferenceExecutor();
    const weights = initialWeights(tinyModel, createRng(3));
    const state = initialState(tiny, weights);
    await using whole = await executor.compile(buildTrainStep(tiny));
    const [gradGraph, applyGraph] = [buildGradStep(tiny), buildApplyStep(tiny)];
    await using grad = await executor.compile(gradGraph);
    await using apply = await executor.compile(applyGraph);
    whole.writeState(state);
    grad.writeState(weights);
    apply.writeState(state);
    for (let step = 0; step < 2; step++) {
      const feeds = feedsOf(tiny, step);
      const expected = await whole.run(feeds);
      const { loss, correct, ...results } = await grad.run(pick(feeds, Object.keys(gradGraph.inputs)));
      const { gradientNorm } = await apply.run({ ...pick(feeds, Object.keys(applyGraph.inputs)), ...results });
      grad.writeState(apply.readState(Object.keys(weights)));
      expect({ loss, correct, gradientNorm }).toEqual(expected);
      expect(apply.readState()).toEqual(whole.readState());
    }
    const trained = whole.readState();
    expect(trained["stem.conv.weight"]).not.toEqual(weights["stem.conv.weight"]);
    expect(trained["stem.bn.running_var"]).not.toEqual(weights["stem.bn.running_var"]);
  });

  it("leaves frozen parameters and their slots alone and trains the rest", async () => {
    const model = airbench({ classes: 3, height: 17, width: 17, widthFactor: 1 / 16 });
    const options: StepOptions = {
      model,
      optimizer: airbenchSgd(model, { batchSize, schedule: constantSchedule }),
      batchSize,
      images: { mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] },
      reduction: "sum",
      frozen: ["whiten.bias"],
    };
    const sample = floats(
      [4, 3, 17, 17],
      Float32Array.from({ length: 4 * 3 * 289 }, (_, i) => Math.sin(i * i)),
    );
    const state = initialState(options, initialWeights(model, createRng(1), sample));
    await using step = await createReferenceExecutor().compile(buildTrainStep(options));
    step.writeState(state);
    await step.run(feedsOf(options, 0));
    const after = step.readState();
    for (const name of ["whiten.weight", "whiten.bias", "sgd/momentum/whiten.bias"])
      expect(after[name]).toEqual(state[name]);
    for (const name of ["head.weight", "block1.conv1.weight", "block3.norm2.bias"]) {
      expect(after[name], name).not.toEqual(state[name]);
    }
  });

  it("reports the mean loss whichever reduction is differentiated, with gradients in proportion", async () => {
    const outputs = [];
    for (const reduction of ["mean", "sum"] as const) {
      const { gradClipNorm: _, ...rest } = tiny;
      const options = { ...rest, reduction };
      await using step = await createReferenceExecutor().compile(buildTrainStep(options));
      step.writeState(initialState(options, initialWeights(tinyModel, createRng(3))));
      outputs.push(await step.run(feedsOf(options, 0)));
    }
    expect(outputs[1]!.loss!.data[0]).toBeCloseTo(outputs[0]!.loss!.data[0]!, 6);
    expect(outputs[1]!.gradientNorm!.data[0]! / outputs[0]!.gradientNorm!.data[0]!).toBeCloseTo(batchSize, 3);
  });

  it("learns one batch by heart", async () => {
    const { gradClipNorm: _, averages: __, ...rest } = tiny;
    const model = resnet9({ classes: 3, height: 8, width: 8, widthFactor: 1 / 16 });
    const options = { ...rest, model, labelSmoothing: 0 };
    await using step = await createReferenceExecutor().compile(buildTrainStep(options));
    step.writeState(initialState(options, initialWeights(model, createRng(3))));
    let results: Awaited<ReturnType<typeof step.run>> = {};
    const feeds = feedsOf(options, 0);
    for (let i = 0; i < 25; i++) results = await step.run(feeds);
    expect(results.correct!.data[0]).toBe(batchSize);
    expect(results.loss!.data[0]).toBeLessThan(0.1);
  });

  it("resizes images of another size to the model's, by the same resampling that moves them", () => {
    const images = { ...preparation, height: 6, width: 10 };
    const isResize = ({ op }: { readonly op: string }) => op === "resize";
    const plain = buildTrainStep({ ...tiny, images: { ...images, augmentation: undefined } });
    expect(plain.inputs.images!.shape).toEqual([batchSize, 3, 6, 10]);
    expect(plain.values.find(isResize)!.shape).toEqual([batchSize, 3, 8, 8]);
    const moved = buildTrainStep({ ...tiny, images: { ...images, augmentation: shiftsOf(6, 10) } });
    expect(moved.inputs.images!.shape).toEqual([batchSize, 3, 6, 10]);
    expect(moved.values.some(isResize)).toBe(false);
  });

  it("refuses groups that forget a parameter or name a foreign one", () => {
    const [first] = groups;
    expect(() => buildTrainStep({ ...tiny, optimizer: sgd({ groups: [first!] }) })).toThrow(
      /without a group \[.*bn\.bias/,
    );
    const foreign = { ...first!, name: "foreign", parameters: ["nobody"] };
    expect(() => buildTrainStep({ ...tiny, optimizer: sgd({ groups: [...groups, foreign] }) })).toThrow(
      /unknown \[nobody\]/,
    );
  });
});
