import { mustGet } from "../base/assert.ts";
import type { Graph } from "../graph/graph.ts";
import type { ActivationKind } from "../graph/ops.ts";
import { byteOperands, byteSource } from "../graph/passes/byte-flow.ts";
import type { ByteCode, IntegerLayer, QuantizationPlan } from "../graph/quantization.ts";
import { isOp, type Value } from "../graph/value.ts";
import { codeFor, codeWeights, outputOf } from "./codes.ts";
import type { WeightBits } from "./format.ts";
import type { Layer } from "./layers.ts";
import type { Observations } from "./observe.ts";
import { type CalibrationMethod, type Range, rangeOf } from "./range.ts";

export interface PlanOptions {
  readonly observations: Observations;
  readonly method: CalibrationMethod;
  readonly weightBits: WeightBits;
  /** Whether what rounding does to a layer's mean output is taken from its bias. */
  readonly bias: "plain" | "corrected";
}

/** Below these the activations give next to nothing: no code is spent there. */
const silentBelow: Partial<Record<ActivationKind, number>> = { gelu: -4, hardSwish: -3, silu: -8 };

/** The values whose bytes some layers need, or give. */
export function codedValues(layers: readonly Layer[]): readonly Value[] {
  const coded = new Set<Value>();
  const want = (value: Value): void => {
    const source = byteSource(value);
    if (coded.has(source)) return;
    coded.add(source);
    byteOperands(source)?.forEach(want);
  };
  for (const { input, output, product } of layers) {
    want(input);
    if (isOp(product, "conv2d")) want(output);
  }
  return [...coded];
}

/** All that `planOf` asks of observations. */
export function observedValues(layers: readonly Layer[]): readonly Value[] {
  return [...new Set([...codedValues(layers), ...layers.map(({ input }) => input)])];
}

/** How the given layers of a simplified graph are computed in integers, the others in float32. */
export function planOf(graph: Graph, layers: readonly Layer[], options: PlanOptions): QuantizationPlan {
  const { observations, method, weightBits, bias } = options;
  const users = usersOf(graph);
  const codes = new Map<Value, ByteCode>();
  for (const value of codedValues(layers)) {
    const range = rangeOf(method, mustGet(observations.histograms, value, "histogram"));
    codes.set(value, codeFor(useful(range, value, users)));
  }
  const integers = new Map<Value, IntegerLayer>();
  for (const layer of layers) {
    const { scale } = mustGet(codes, byteSource(layer.input), "code");
    const plain = codeWeights(layer, scale, weightBits);
    const means = mustGet(observations.means, layer.input, "means");
    const corrected = (): typeof plain => {
      const missing = missingMeans(layer, plain, means);
      const bias = missing.map((term, channel) => term + (layer.bias?.[channel] ?? 0));
      return codeWeights({ ...layer, bias }, scale, weightBits);
    };
    integers.set(layer.output, { product: layer.product, ...(bias === "plain" ? plain : corrected()) });
  }
  return { codes, layers: integers };
}

/**
 * What rounded weights take from the mean of each output channel, by the means of the input channels (Nagel et al. 2019,
 * "Data-Free Quantization Through Weight Equalization and Bias Correction"); borders of padding count as the rest.
 */
export function missingMeans(
  layer: Layer,
  { weights, scales }: Pick<ReturnType<typeof codeWeights>, "weights" | "scales">,
  means: Float64Array,
): Float32Array {
  const channelOf = outputOf(layer);
  const inputOf = inputChannel(layer);
  const missing = new Float64Array(layer.outputs);
  for (let i = 0; i < weights.length; i++) {
    const output = channelOf(i);
    missing[output]! += (layer.weights[i]! - weights[i]! * scales[output]!) * means[inputOf(i)]!;
  }
  return Float32Array.from(missing);
}

/** The input channel that a weight meets. */
function inputChannel({ product, weights, outputs, across }: Layer): (index: number) => number {
  if (!isOp(product, "conv2d")) {
    return across ? (i) => Math.floor(i / outputs) : (i) => i % (weights.length / outputs);
  }
  const [, perGroup = 1, height = 1, width = 1] = product.operands[1]!.shape;
  const taps = height * width;
  const outputsPerGroup = outputs / product.attrs.groups;
  return (i) => {
    const output = Math.floor(i / (perGroup * taps));
    return Math.floor(output / outputsPerGroup) * perGroup + (Math.floor(i / taps) % perGroup);
  };
}

/** The range without what every user takes for nothing. */
function useful(range: Range, value: Value, users: ReadonlyMap<Value, readonly Value[]>): Range {
  const limits = readers(value, users).map((user) =>
    isOp(user, "activation") ? (silentBelow[user.attrs.kind] ?? Number.NEGATIVE_INFINITY) : Number.NEGATIVE_INFINITY,
  );
  return limits.length === 0 ? range : { ...range, low: Math.max(range.low, Math.min(...limits)) };
}

/** Who uses a value, behind pools. */
function readers(value: Value, users: ReadonlyMap<Value, readonly Value[]>): readonly Value[] {
  return (users.get(value) ?? []).flatMap((user) => (isOp(user, "maxPool2d") ? readers(user, users) : [user]));
}

function usersOf(graph: Graph): ReadonlyMap<Value, readonly Value[]> {
  const users = new Map<Value, Value[]>();
  for (const value of graph.values) {
    for (const operand of value.operands) users.set(operand, [...(users.get(operand) ?? []), value]);
  }
  return users;
}
