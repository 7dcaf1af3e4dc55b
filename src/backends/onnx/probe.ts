import { ModelWriter } from "./model-writer.ts";
import { ort } from "./onnxruntime.ts";

let known: Promise<number> | undefined;

/**
 * Number of channels in a block of onnxruntime's blocked convolution kernels on this processor (16 with AVX-512, 8 with
 * AVX2), or 0 where there are none or where they do not compute what the lowering expects of them. These kernels are
 * internal to onnxruntime, so a small convolution is compared with a direct computation before they are trusted.
 */
export function blockSize(): Promise<number> {
  known ??= probe();
  return known;
}

const nchwc = { domain: "com.microsoft.nchwc" } as const;

async function probe(): Promise<number> {
  try {
    const block = await readBlock();
    return block > 0 && (await convolvesRight(block)) ? block : 0;
  } catch {
    // No such operators in this build: the plain lowering serves.
    return 0;
  }
}

async function run(writer: ModelWriter, feeds: Record<string, ort.Tensor>): Promise<ort.Tensor> {
  const session = await ort.InferenceSession.create(writer.finish(), { intraOpNumThreads: 1, logSeverityLevel: 4 });
  try {
    return (await session.run(feeds)).y!;
  } finally {
    await session.release();
  }
}

async function readBlock(): Promise<number> {
  const writer = new ModelWriter("block-size");
  writer.input("x", "float32", [1, 4, 1, 1]);
  writer.alias(writer.op("ReorderInput", ["x"], {}, nchwc), "y");
  writer.output("y", "float32", [1, "channels", 1, 1]);
  const y = await run(writer, { x: new ort.Tensor("float32", new Float32Array(4), [1, 4, 1, 1]) });
  return y.dims[1]!;
}

/** A 2x2 convolution with a depthwise affine pass, blocked, against a direct sum. */
async function convolvesRight(block: number): Promise<boolean> {
  const [channels, size] = [block, 3];
  const writer = new ModelWriter("self-test");
  writer.input("x", "float32", [1, channels, size, size]);
  writer.input("w", "float32", [channels, channels, 2, 2]);
  const image = writer.op("ReorderInput", ["x"], {}, nchwc);
  const product = writer.op("Conv", [image, "w"], { kernel_shape: [2, 2] }, nchwc);
  const scale = writer.fill([channels, 1, 1, 1], 2);
  const bias = writer.fill([channels], 1);
  const affine = writer.op("Conv", [product, scale, bias, product], { kernel_shape: [1, 1], group: channels }, nchwc);
  writer.alias(writer.op("ReorderOutput", [affine], { channels }, nchwc), "y");
  writer.output("y", "float32", [1, channels, size - 1, size - 1]);

  const x = Float32Array.from({ length: channels * size * size }, (_, i) => ((i * 7) % 11) - 5);
  // Small whole numbers, so that the comparison is exact; stored as [taps, input, output].
  const weights = Float32Array.from({ length: channels * channels * 4 }, (_, i) => ((i * 5) % 7) - 3);
  const y = await run(writer, {
    x: new ort.Tensor("float32", x, [1, channels, size, size]),
    w: new ort.Tensor("float32", weights, [channels, channels, 2, 2]),
  });
  const actual = y.data as Float32Array;
  for (let o = 0; o < channels; o++) {
    for (let place = 0; place < 4; place++) {
      const [row, column] = [place >> 1, place & 1];
      let sum = 0;
      for (let tap = 0; tap < 4; tap++) {
        for (let i = 0; i < channels; i++) {
          const pixel = x[i * size * size + (row + (tap >> 1)) * size + column + (tap & 1)]!;
          sum += pixel * weights[(tap * channels + i) * channels + o]!;
        }
      }
      if (actual[o * 4 + place] !== 3 * sum + 1) return false;
    }
  }
  return true;
}
