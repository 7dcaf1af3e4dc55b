import { beforeAll, describe, expect, it, vi } from "vitest";
import { createOnnxExecutor } from "../../src/backends/onnx/executor.ts";
import { createRng } from "../../src/base/rng.ts";
import type { Executor } from "../../src/graph/executor.ts";
import { initialWeights } from "../../src/models/model.ts";
import { constantSchedule } from "../../src/optim/schedules.ts";
import { sgd } from "../../src/optim/sgd.ts";
import { floatData, floats, item, tensor } from "../../src/tensor/tensor.ts";
import { decayGroups } from "../../src/training/parameter-groups.ts";
import { buildGradStep } from "../../src/training/train-step.ts";
import { hashedNumbers } from "./hashed-numbers.ts";
import { testedArchitectures } from "./tested-architectures.ts";

// One step of every architecture with all its gradients, on images so small that the largest ones are quick.
vi.setConfig({ testTimeout: 240_000 });

const batchSize = 2;
const size = 32;
const classes = 10;
const bits = hashedNumbers(1, batchSize * 3 * size * size);
const pixels = Uint8Array.from(bits, (value) => value >>> 24);

let executor: Executor;
beforeAll(async () => {
  executor = await createOnnxExecutor({ threads: 1, optimization: "none" });
});

describe("one training step", () => {
  it.each(testedArchitectures)(
    "of $name has a finite gradient for each parameter, and none is missing",
    async (factory) => {
      // The published stem: maps shrink as far as they do.
      const options = { classes, height: size, width: size, stemStride: 2, stochasticDepthRate: 0 } as const;
      const model = factory.build(options);
      const groups = decayGroups(model, { learningRate: 0.1, weightDecay: 5e-4, schedule: constantSchedule });
      const images = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
      const graph = buildGradStep({ model, optimizer: sgd({ groups }), batchSize, images });
      const sample = floats(
        [64, 3, size, size],
        Float32Array.from({ length: 64 * 3 * size * size }, (_, i) => Math.sin(i * i)),
      );
      const weights = initialWeights(model, createRng(1), sample);
      await using step = await executor.compile(graph);
      step.writeState(weights);
      const uniforms = Object.values(graph.inputs).filter(({ attrs }) => attrs.name.startsWith("uniforms/"));
      const results = await step.run({
        images: tensor("uint8", [batchSize, 3, size, size], pixels),
        labels: tensor("int32", [batchSize], Int32Array.of(1, 7)),
        ...Object.fromEntries(
          uniforms.map(({ attrs, shape }) => [
            attrs.name,
            floats(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.75)),
          ]),
        ),
      });
      expect(Number.isFinite(item(results.loss!))).toBe(true);
      const trained = model.module.parameters.filter(({ trainable }) => trainable).map(({ name }) => name);
      const gradients = Object.keys(results).filter((name) => name.startsWith("grad/"));
      expect(gradients.sort()).toEqual(trained.map((name) => `grad/${name}`).sort());
      for (const name of gradients) {
        const values = floatData(results[name]!);
        expect(values.every(Number.isFinite), `${name} is finite`).toBe(true);
        expect(
          values.some((value) => value !== 0),
          `${name} is not all zeros`,
        ).toBe(true);
      }
    },
  );
});
