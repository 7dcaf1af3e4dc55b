import { floatData, floats } from "../../../tensor/tensor.ts";
import { loadInferenceModel } from "../inference-model.ts";
import { ModelWriter } from "../model-writer.ts";

let known: Promise<7 | 8> | undefined;

/**
 * How many bits of a weight onnxruntime's integer kernels can take on this processor. Without VNNI they add two products
 * of a byte and a weight in 16 bits, which saturates from 32768 on: 7 bits keep below it. Found by a convolution of
 * nothing but largest numbers against the exact sum.
 */
export function usableWeightBits(): Promise<7 | 8> {
  known ??= convolutionOfLargest(127).then((exact) => (exact ? 8 : 7));
  return known;
}

/** True where a sum of 64 products of 255 with `weight` comes out exact, and with -`weight` too. */
export async function convolutionOfLargest(weight: number): Promise<boolean> {
  const channels = 64;
  const outputs = 16;
  const scale = (255 * weight * channels) / 100;
  const writer = new ModelWriter("weight-bits");
  writer.input("x", "float32", [1, channels, 4, 4]);
  const unit = writer.float(1);
  const [zero, middle] = [writer.byte(0), writer.byte(128)];
  const x = writer.op("QuantizeLinear", ["x", unit, zero]);
  const weights = Int8Array.from({ length: outputs * channels }, (_, i) => (i < 8 * channels ? weight : -weight));
  const sums = writer.op(
    "QLinearConv",
    [
      ...[x, unit, zero],
      ...[
        writer.bytes([outputs, channels, 1, 1], weights),
        writer.floats([outputs], new Float32Array(outputs).fill(1)),
      ],
      ...[writer.bytes([outputs], new Int8Array(outputs)), writer.float(scale), middle],
    ],
    { kernel_shape: [1, 1] },
  );
  writer.alias(writer.op("DequantizeLinear", [sums, unit, middle]), "y");
  writer.output("y", "float32", [1, outputs, 4, 4]);
  await using model = await loadInferenceModel(writer.finish());
  const { y } = await model.run({ x: floats([1, channels, 4, 4], new Float32Array(channels * 16).fill(255)) });
  return floatData(y!).every((sum, i) => sum === (i < 8 * 16 ? 100 : -100));
}
