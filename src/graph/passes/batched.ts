import { PipelineError } from "../../base/errors.ts";
import type { Graph } from "../graph.ts";
import type { OpName } from "../ops.ts";
import type { Value } from "../value.ts";

/** Of each operand: whether its first dimension is the batch where the result's is; undefined: the batch is lost. */
type BatchRule<O extends OpName> = (value: Value<O>) => readonly boolean[] | undefined;

const each: BatchRule<OpName> = ({ operands }) => operands.map(() => true);
const onlyFirst: BatchRule<OpName> = ({ operands }) => operands.map((_, i) => i === 0);
const lost: BatchRule<OpName> = () => undefined;
const eachWhere =
  <O extends OpName>(keeps: (value: Value<O>) => boolean): BatchRule<O> =>
  (value) =>
    keeps(value) ? each(value) : undefined;

const batchRules: { readonly [O in OpName]: BatchRule<O> } = {
  input: each,
  constant: each,
  unary: each,
  binary: each,
  compare: each,
  activation: each,
  activationGrad: each,
  cast: each,
  stopGradient: each,
  allReduce: each,
  reshape: eachWhere(({ shape, operands }) => shape[0] === operands[0]!.shape[0]),
  transpose: eachWhere(({ attrs }) => attrs.perm[0] === 0),
  broadcast: ({ attrs }) => [attrs.axes[0] === 0],
  concat: eachWhere(({ attrs }) => attrs.axis !== 0),
  slice: eachWhere(({ attrs }) => attrs.axis !== 0),
  pad: eachWhere(({ attrs }) => attrs.axis !== 0),
  flip: eachWhere(({ attrs }) => !attrs.axes.includes(0)),
  reduceSum: eachWhere(({ attrs }) => !attrs.axes.includes(0)),
  reduceMax: eachWhere(({ attrs }) => !attrs.axes.includes(0)),
  argMax: eachWhere(({ shape }) => shape.length > 0),
  matmul: (value) => {
    if (value.shape.length === 3) return each(value);
    return value.attrs.transA ? undefined : onlyFirst(value);
  },
  logSoftmax: each,
  oneHot: each,
  conv2d: onlyFirst,
  conv2dInputGrad: onlyFirst,
  conv2dWeightGrad: lost,
  channelAffine: ({ operands }) => operands.map((operand, i) => i === 0 || operand.shape.length === 2),
  spatialDot: each,
  maxPool2d: each,
  maxPool2dGrad: each,
  avgPool2d: each,
  avgPool2dGrad: each,
  affineSample: each,
  gridSample: each,
  lookup: each,
  resize: each,
  resizeGrad: each,
};

/**
 * The values whose first dimension is the batch, by the flow of data: the inputs, all that depends on them, and what
 * such values take sample by sample. No size decides, so a channel count may equal the batch.
 * @throws GRAPH_INVALID when the batch does not stay the first dimension
 */
export function batchedValues(graph: Graph): ReadonlySet<Value> {
  const inputs = Object.values(graph.inputs);
  const sizes = new Set(inputs.map(({ shape }) => shape[0]));
  if (sizes.size !== 1 || sizes.has(undefined)) {
    throw new PipelineError("GRAPH_INVALID", `graph ${graph.name}: the inputs have no batch in common`, {
      remedy: "give every input the batch as its first dimension",
    });
  }
  const dependent = new Set<Value>(inputs);
  for (const value of graph.values) if (value.operands.some((operand) => dependent.has(operand))) dependent.add(value);
  const fail = (value: Value, why: string): never => {
    throw new PipelineError("GRAPH_INVALID", `graph ${graph.name}: ${value.op} to [${value.shape}] ${why}`, {
      remedy: "keep the batch the first dimension and treat every sample alone",
    });
  };
  const batched = new Set(dependent);
  const roles = new Map<Value, readonly boolean[]>();
  for (const value of dependent) {
    const own = (batchRules[value.op] as BatchRule<OpName>)(value);
    if (own === undefined) return fail(value, "mixes or moves the samples of the batch");
    roles.set(value, own);
    for (const [i, operand] of value.operands.entries()) if (own[i]) batched.add(operand);
  }
  for (const [value, own] of roles) {
    value.operands.forEach((operand, i) => {
      if (batched.has(operand) !== own[i]) fail(value, `takes a batch as its operand ${i}`);
    });
  }
  return batched;
}
