import type { ByteCode } from "../graph/quantization.ts";
import type { WeightBits } from "./format.ts";
import type { Range } from "./range.ts";

/** Below it a scale would turn products into numbers that are no normal floats any more. */
const smallestScale = 1e-12;

/** The code whose bytes 0..255 cover a range, with 0 exactly on one of them. */
export function codeFor({ low, high }: Range): ByteCode {
  const scale = Math.fround(Math.max((high - low) / 255, smallestScale));
  return { scale, zeroPoint: Math.min(255, Math.max(0, Math.round(-low / scale))) };
}

export interface CodedWeights {
  readonly weights: Int8Array;
  readonly scales: Float32Array;
  readonly bias: Int32Array;
}

export interface WeightsToCode {
  readonly weights: Float32Array;
  readonly outputs: number;
  readonly across: boolean;
  readonly bias: Float32Array | undefined;
}

/** The output channel of a weight. */
export function outputOf({ weights, outputs, across }: WeightsToCode): (index: number) => number {
  const perOutput = weights.length / outputs;
  return across ? (i) => i % outputs : (i) => Math.floor(i / perOutput);
}

/**
 * Weights as signed integers with a scale for each output channel, and the bias in units of that scale times the
 * activation's. A channel whose bias would overflow has a larger scale.
 */
export function codeWeights(layer: WeightsToCode, inputScale: number, bits: WeightBits): CodedWeights {
  const { weights, outputs, bias } = layer;
  const most = bits === 8 ? 127 : 63;
  const channelOf = outputOf(layer);
  const peaks = new Float32Array(outputs);
  for (let i = 0; i < weights.length; i++) {
    const channel = channelOf(i);
    peaks[channel] = Math.max(peaks[channel]!, Math.abs(weights[i]!));
  }
  const scales = peaks.map((peak, channel) =>
    Math.max(peak / most, Math.abs(bias?.[channel] ?? 0) / (inputScale * 2 ** 30), smallestScale),
  );
  return {
    weights: Int8Array.from(weights, (w, i) => roundEven(w / scales[channelOf(i)]!)),
    scales,
    bias: Int32Array.from(scales, (scale, channel) => roundEven((bias?.[channel] ?? 0) / (inputScale * scale))),
  };
}

/** To the nearest, halves to the even one, as onnxruntime rounds. */
export function roundEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
