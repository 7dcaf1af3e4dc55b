import { createHash } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { createRng } from "../base/rng.ts";
import type { ImageBatch } from "./batch.ts";
import { createLoader, type Loader, type LoaderOptions } from "./loader.ts";
import { createSyntheticDataset } from "./synthetic.ts";
import { batchAugmentation } from "./transforms/batch-augmentation.ts";
import { mirror, padCrop } from "./transforms/crop-flip.ts";

const { train } = createSyntheticDataset({ trainCount: 103, testCount: 0 });
const size = { height: 32, width: 32 };
const augmentation = batchAugmentation({
  augmentations: [padCrop(2, size), mirror("random")],
  ...{ source: size, target: size, border: "reflect", fill: "black" },
});
const open: Loader[] = [];

function loader(options: Partial<LoaderOptions> = {}): Loader {
  const created = createLoader({ split: train, batchSize: 10, rng: createRng(7), augmentation, ...options });
  open.push(created);
  return created;
}

async function collect(batches: AsyncIterable<ImageBatch>): Promise<ImageBatch[]> {
  const all: ImageBatch[] = [];
  for await (const batch of batches) all.push(batch);
  return all;
}

/** Batches with their images as a checksum: quick to compare. */
async function summary(batches: AsyncIterable<ImageBatch>) {
  const sha1 = (data: Uint8Array) => createHash("sha1").update(data).digest("hex");
  return (await collect(batches)).map((batch) => ({
    ...batch,
    images: { ...batch.images, data: sha1(batch.images.data) },
  }));
}

afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

describe("createLoader", () => {
  it("gives every image once an epoch, with its own pixels and label", async () => {
    const batches = await collect(loader().epoch(1));
    expect(batches.map(({ step, images }) => [step, images.shape])).toEqual(
      Array.from({ length: 11 }, (_, step) => [step, [step < 10 ? 10 : 3, 3, 32, 32]]),
    );
    const seen = batches.flatMap(({ indices }) => [...indices]);
    expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 103 }, (_, i) => i));
    for (const { indices, images, labels, augmentation: drawn } of batches) {
      expect(labels.shape).toEqual([indices.length]);
      expect(Object.keys(drawn)).toEqual(["warp"]);
      expect(drawn.warp!.shape).toEqual([indices.length, 2, 3]);
      indices.forEach((index, i) => {
        expect(labels.data[i]).toBe(train.labels[index]);
        const pixels = images.data.subarray(i * 3072, (i + 1) * 3072);
        expect(Buffer.compare(pixels, train.images.subarray(index * 3072, (index + 1) * 3072))).toBe(0);
      });
    }
  });

  it.each([0, 2])(
    "gives shares that make up the whole batch, augmentation included (%i threads)",
    async (numWorkers) => {
      const whole = await collect(loader({ dropLast: true }).epoch(1));
      const shares = await Promise.all(
        [0, 1].map((rank) => collect(loader({ dropLast: true, numWorkers, share: { rank, worldSize: 2 } }).epoch(1))),
      );
      whole.forEach((batch, step) => {
        const parts = shares.map((share) => share[step]!);
        const joined = (of: (part: ImageBatch) => Iterable<number>): number[] => parts.flatMap((part) => [...of(part)]);
        expect(joined((part) => part.indices)).toEqual([...batch.indices]);
        expect(joined((part) => part.labels.data)).toEqual([...batch.labels.data]);
        expect(Object.keys(batch.augmentation).length).toBeGreaterThan(0);
        for (const [name, { data }] of Object.entries(batch.augmentation)) {
          expect(joined((part) => part.augmentation[name]!.data)).toEqual([...data]);
        }
        expect(Buffer.compare(Buffer.concat(parts.map((part) => part.images.data)), batch.images.data)).toBe(0);
      });
      expect(() => loader({ dropLast: true, share: { rank: 0, worldSize: 3 } })).toThrow(/no 3 equal parts/);
      expect(() => loader({ share: { rank: 0, worldSize: 2 } })).toThrow(/where the last is shorter/);
    },
  );

  it("order depends on seed and epoch only", async () => {
    const order = async (l: Loader, epoch: number) => (await collect(l.epoch(epoch))).flatMap((b) => [...b.indices]);
    const first = loader();
    const one = await order(first, 1);
    expect(await order(first, 2)).not.toEqual(one);
    expect(await order(first, 1)).toEqual(one);
    expect(await order(loader(), 1)).toEqual(one);
    expect(await order(loader({ rng: createRng(8) }), 1)).not.toEqual(one);
  });

  it("a resumed epoch gives the same batches as an uninterrupted one", async () => {
    const whole = await summary(loader().epoch(3));
    expect(await summary(loader().epoch(3, 4))).toEqual(whole.slice(4));
    expect(await summary(loader().epoch(3, 11))).toEqual([]);
  });

  it.each([1, 3])("%i threads give the same batches as none", async (numWorkers) => {
    const expected = await summary(loader().epoch(2));
    const threaded = loader({ numWorkers, prefetch: 4 });
    expect(await summary(threaded.epoch(2))).toEqual(expected);
    expect(await summary(threaded.epoch(2, 5))).toEqual(expected.slice(5));
  });

  it("threads go on with another epoch when one is left early", async () => {
    const expected = await summary(loader().epoch(2));
    const threaded = loader({ numWorkers: 2 });
    for await (const { step } of threaded.epoch(1)) if (step === 1) break;
    expect(await summary(threaded.epoch(2))).toEqual(expected);
  });

  it("evaluation keeps the order, the last images and leaves them as they are", async () => {
    const indices = Int32Array.from({ length: 15 }, (_, i) => 2 * i);
    const batches = await collect(createLoader({ split: train, indices, batchSize: 10 }).epoch(0));
    expect(batches.flatMap((b) => [...b.indices])).toEqual([...indices]);
    expect(batches[1]!.augmentation).toEqual({});
  });

  it("dropLast leaves out the incomplete batch", async () => {
    const dropping = loader({ dropLast: true });
    expect(dropping).toMatchObject({ stepsPerEpoch: 10, imagesPerEpoch: 100 });
    expect(await collect(dropping.epoch(1))).toHaveLength(10);
  });

  it("refuses what cannot work", () => {
    expect(() => loader({ batchSize: 0 })).toThrow(/batch size is 0/);
    expect(() => loader({ numWorkers: -1 })).toThrow(/threads is -1/);
    expect(() => loader({ batchSize: 104, dropLast: true })).toThrow(/do not fill one batch/);
    expect(() => loader({ rng: undefined })).toThrow(/needs random numbers/);
    expect(() => loader({ indices: Int32Array.of(0, 103) })).toThrow(/index 103/);
    expect(() => loader().epoch(0, 12)).toThrow(/start step 12/);
  });
});
