import { describe, expect, it } from "vitest";
import { createRng } from "../../src/base/rng.ts";
import { type BatchShare, createLoader } from "../../src/data/loader.ts";
import { createSyntheticDataset } from "../../src/data/synthetic.ts";
import { loopbackWarning } from "../../src/distributed/environment.ts";
import type { InferenceModel } from "../../src/graph/executor.ts";
import { floats } from "../../src/tensor/tensor.ts";
import { imageSource } from "../../src/training/evaluate.ts";
import { logitsTogether } from "../../src/training/logits-together.ts";
import { memoryPeers } from "./memory-peers.ts";

const { train } = createSyntheticDataset({ trainCount: 60, testCount: 0 });
const images = 60;

const loaderOf = (share: BatchShare | undefined, batchSize = 12) =>
  createLoader({ split: train, batchSize, rng: createRng(7), dropLast: true, share });

/** The images that each process of a group gets in an epoch, one batch after the other. */
async function parts(worldSize: number, epoch: number, { from = 0, to = Number.POSITIVE_INFINITY } = {}) {
  return Promise.all(
    Array.from({ length: worldSize }, async (_, rank) => {
      await using loader = loaderOf({ rank, worldSize });
      const batches: number[][] = [];
      for await (const { step, indices } of loader.epoch(epoch, from)) {
        if (step >= to) break;
        batches.push([...indices]);
      }
      return batches;
    }),
  );
}

const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);
const all = Array.from({ length: images }, (_, i) => i);

describe("few samples on many processes", () => {
  it("are each evaluated once: three on eight", async () => {
    const { images: bytes } = train;
    const split = { count: 3, images: bytes.slice(0, 3 * 3072), height: 32, width: 32 };
    let runs = 0;
    // Its logits tell the image: the sum of its pixels.
    const model = {
      async run({ images: input }) {
        runs++;
        const rows = input!.shape[0]!;
        const sums = Float32Array.from({ length: rows }, (_, i) =>
          (input!.data as Float32Array).subarray(i * 3072, (i + 1) * 3072).reduce((sum, value) => sum + value, 0),
        );
        return { logits: floats([rows, 1], sums) };
      },
    } as Pick<InferenceModel, "run"> as InferenceModel;
    const source = imageSource({ split, normalise: ({ shape, data }) => floats(shape, Float32Array.from(data)) });
    const expected = [0, 1, 2].map((i) => bytes.subarray(i * 3072, (i + 1) * 3072).reduce((a, b) => a + b, 0));
    const results = await Promise.all(
      memoryPeers(8).map((peers) => logitsTogether(source, { model, batchSize: 1 }, peers)),
    );
    for (const { shape, data } of results) {
      expect(shape).toEqual([3, 1]);
      expect([...data]).toEqual(expected);
    }
    expect(runs).toBe(3);
  });

  it("can't be trained on: at once, with the numbers", () => {
    const split = { ...train, count: 3, images: train.images.slice(0, 3 * 3072), labels: train.labels.slice(0, 3) };
    expect(() => createLoader({ split, batchSize: 8, dropLast: true, share: { rank: 0, worldSize: 8 } })).toThrow(
      /3 images do not fill one batch of 8/,
    );
  });
});

describe("a meeting point whose name means this machine alone", () => {
  const addressOf = async (name: string) => ({ address: name === "node0" ? "127.0.1.1" : "10.0.0.1" });

  it("is told of, with the remedy", async () => {
    expect(await loopbackWarning({ host: "node0", port: 29_500 }, addressOf)).toMatch(
      /node0:29500, which is 127\.0\.1\.1 on this machine.*MASTER_ADDR/,
    );
    expect(await loopbackWarning({ host: "node1", port: 29_500 }, addressOf)).toBeUndefined();
    expect(await loopbackWarning({ host: "127.0.0.1", port: 29_500 }, addressOf)).toBeUndefined();
  });
});

describe("the shares of an epoch", () => {
  it("cover the images once in each of three epochs, in another order each; a resume has the order of its epoch", async () => {
    const epochs = await Promise.all([1, 2, 3].map((epoch) => parts(3, epoch)));
    for (const ranks of epochs) expect(sorted(ranks.flat(2))).toEqual(all);
    expect(new Set(epochs.map((ranks) => JSON.stringify(ranks))).size).toBe(3);
    expect(await parts(3, 3)).toEqual(epochs[2]);
    expect(await parts(3, 3, { from: 2 })).toEqual(epochs[2]!.map((batches) => batches.slice(2)));
  });

  it("that remain when three processes go on where two were, are exactly those that the two had left", async () => {
    const before = (await parts(2, 4, { to: 2 })).flat(2);
    const after = (await parts(3, 4, { from: 2 })).flat(2);
    expect(before).toHaveLength(24);
    expect(sorted([...before, ...after])).toEqual(all);
  });
});
