import { apply, constant, filled } from "../graph/build.ts";
import { countUses, type Graph } from "../graph/graph.ts";
import { isClipping } from "../graph/passes/byte-flow.ts";
import { substitute } from "../graph/passes/substitute.ts";
import { isOp, type Value } from "../graph/value.ts";
import { floatData, floats } from "../tensor/tensor.ts";

/**
 * The graph as it is quantised: what batch norm has left of scales is in the filters, so that these are what is rounded,
 * and a clipping activation stands before a max-pool, next to its convolution.
 * @param graph without variables, weights folded
 */
export function simplify(graph: Graph): Graph {
  return scalesIntoFilters(clippingBeforePooling(graph));
}

/** A maximum commutes with whatever never falls. */
function clippingBeforePooling(graph: Graph): Graph {
  const uses = countUses(graph);
  return substitute(graph, (value, operands) => {
    const pooled = operands[0];
    if (!isClipping(value) || pooled === undefined || !isOp(pooled, "maxPool2d")) return undefined;
    if (uses.get(value.operands[0]!) !== 1) return undefined;
    return apply("maxPool2d", [apply("activation", [pooled.operands[0]!], value.attrs)], pooled.attrs);
  });
}

function scalesIntoFilters(graph: Graph): Graph {
  const uses = countUses(graph);
  return substitute(graph, (value, operands) => {
    const [conv, scale, bias] = operands as [Value, Value, Value];
    if (!isOp(value, "channelAffine") || !isOp(conv, "conv2d") || uses.get(value.operands[0]!) !== 1) return undefined;
    const weight = conv.operands[1]!;
    if (!isOp(weight, "constant") || !isOp(scale, "constant") || scale.shape.length !== 1) return undefined;
    const factors = floatData(scale.attrs.tensor);
    const weights = floatData(weight.attrs.tensor);
    const perFilter = weights.length / factors.length;
    const scaled = weights.map((w, i) => w * factors[Math.floor(i / perFilter)]!);
    const product = apply("conv2d", [conv.operands[0]!, constant(floats(weight.shape, scaled))], conv.attrs);
    return apply("channelAffine", [{ ...product, layer: conv.layer }, filled(scale.shape, 1), bias], {});
  });
}
