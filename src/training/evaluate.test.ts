import { describe, expect, it } from "vitest";
import type { InferenceModel } from "../graph/executor.ts";
import { floats, type Tensor, tensor } from "../tensor/tensor.ts";
import { type EvaluateOptions, logitsOf } from "./evaluate.ts";

const [height, width] = [3, 4];
const size = 3 * height * width;

/** Logits are the first red pixel and the sum of all; notes the batches it sees. */
function probe(): InferenceModel & { readonly batches: Float32Array[] } {
  const batches: Float32Array[] = [];
  return {
    inputs: [],
    outputs: [],
    batches,
    async run({ images }) {
      const data = images!.data as Float32Array;
      batches.push(data);
      const rows = Array.from({ length: images!.shape[0]! }, (_, n) => data.subarray(n * size, (n + 1) * size));
      return {
        logits: floats(
          [rows.length, 2],
          rows.flatMap((row) => [row[0]!, row.reduce((a, b) => a + b, 0)]),
        ),
      };
    },
    async [Symbol.asyncDispose]() {},
  };
}

function options(count: number, extra: Partial<EvaluateOptions> = {}): EvaluateOptions {
  const images = Uint8Array.from({ length: count * size }, (_, i) => (i * 7) % 251);
  const normalise = ({ shape, data }: Tensor<"uint8">) => tensor("float32", shape, Float32Array.from(data));
  return { model: probe(), split: { count, images, height, width }, normalise, batchSize: 2, ...extra };
}

describe("logitsOf", () => {
  it("gives each image its logits, whatever the batch size, always in full batches", async () => {
    const model = probe();
    const one = await logitsOf(options(5, { model }));
    expect(one.shape).toEqual([5, 2]);
    expect(model.batches.map((batch) => batch.length)).toEqual([2 * size, 2 * size, 2 * size]);
    expect(await logitsOf(options(5, { batchSize: 3 }))).toEqual(one);
    expect(one.data[2]).toBe((size * 7) % 251);
  });

  it("mirrors left to right", async () => {
    const opts = options(1, { tta: "mirror", batchSize: 1 });
    const { images } = opts.split;
    const { data } = await logitsOf(opts);
    expect(data[0]).toBe((images[0]! + images[width - 1]!) / 2);
    expect(data[1]).toBeCloseTo(
      images.reduce((a, b) => a + b, 0),
      3,
    );
  });

  it("weighs six views as airbench: half unmoved, half moved by a pixel with reflection", async () => {
    const opts = options(1, { tta: "mirror_shift", batchSize: 1 });
    const at = (y: number, x: number): number => opts.split.images[y * width + x]!;
    const { data } = await logitsOf(opts);
    const still = (at(0, 0) + at(0, 3)) / 2;
    // Up-left: output (0, 0) shows input (-1, -1), reflected (1, 1); mirrored it shows (-1, 2), reflected (1, 2).
    const upLeft = (at(1, 1) + at(1, 2)) / 2;
    // Down-right: input (1, 1); mirrored (1, 4), reflected (1, 2).
    const downRight = (at(1, 1) + at(1, 2)) / 2;
    expect(data[0]).toBeCloseTo(0.5 * still + 0.25 * upLeft + 0.25 * downRight, 4);
  });

  it("stops when asked to", async () => {
    await expect(logitsOf(options(5, { signal: AbortSignal.abort(new Error("enough")) }))).rejects.toThrow("enough");
  });

  it("refuses splits and batch sizes that make no sense", async () => {
    const { split } = options(2);
    await expect(logitsOf(options(2, { split: { ...split, count: 3 } }))).rejects.toThrow(/are not 3 images/);
    await expect(logitsOf(options(2, { batchSize: 0 }))).rejects.toThrow(/batch size is 0/);
  });
});
