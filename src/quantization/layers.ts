import { filledNumber } from "../graph/build.ts";
import { countUses, type Graph } from "../graph/graph.ts";
import { isClipping } from "../graph/passes/byte-flow.ts";
import { isOp, type Value } from "../graph/value.ts";
import { floatData } from "../tensor/tensor.ts";

/** A convolution or matrix product that can be computed in integers. */
export interface Layer {
  /** That of its weight, "layer1.residual.0.conv.weight". */
  readonly name: string;
  readonly product: Value<"conv2d"> | Value<"matmul">;
  readonly input: Value;
  /** In the order of the graph's constant: an output channel after the other, or across where `across` says so. */
  readonly weights: Float32Array;
  readonly outputs: number;
  /** The weight of output o and input i is weights[i * outputs + o]. */
  readonly across: boolean;
  readonly bias: Float32Array | undefined;
  /** Before the activation. */
  readonly linear: Value;
  /** What the layer gives: `linear` or, where an activation is part of it, that. */
  readonly output: Value;
}

/** The layers of a simplified graph, in its order. */
export function findLayers(graph: Graph): readonly Layer[] {
  const uses = countUses(graph);
  const users = new Map<Value, Value>();
  for (const value of graph.values) for (const operand of value.operands) users.set(operand, value);
  const only = (value: Value): Value | undefined => (uses.get(value) === 1 ? users.get(value) : undefined);
  const layers: Layer[] = [];
  for (const value of graph.values) {
    const weight = value.operands[1];
    if (weight === undefined || !isOp(weight, "constant")) continue;
    const shared = {
      name: value.layer ?? `layer ${layers.length}`,
      input: value.operands[0]!,
      weights: floatData(weight.attrs.tensor),
    };
    if (isOp(value, "conv2d")) {
      const biased = only(value);
      const bias = biased === undefined ? undefined : biasOf(biased);
      const linear = bias === undefined ? value : biased!;
      const next = only(linear);
      const output = next !== undefined && isClipping(next) ? next : linear;
      layers.push({ ...shared, product: value, outputs: weight.shape[0]!, across: false, bias, linear, output });
    } else if (isOp(value, "matmul") && !value.attrs.transA && value.shape.length === 2) {
      const { transB } = value.attrs;
      const outputs = weight.shape[transB ? 0 : 1]!;
      const rest = { bias: undefined, linear: value, output: value };
      layers.push({ ...shared, product: value, outputs, across: !transB, ...rest });
    }
  }
  return layers;
}

/** The constant that is added to each channel. */
function biasOf(value: Value): Float32Array | undefined {
  const [, scale, bias] = value.operands;
  if (!isOp(value, "channelAffine") || filledNumber(scale!) !== 1 || !isOp(bias!, "constant")) return undefined;
  return floatData(bias.attrs.tensor);
}
