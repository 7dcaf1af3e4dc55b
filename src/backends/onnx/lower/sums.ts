import type { ActivationKind } from "../../../graph/ops.ts";
import { isOp, type Value } from "../../../graph/value.ts";
import { constantNumber, type Lowering, type Physical } from "../lowering.ts";
import type { Attribute } from "../model-writer.ts";
import { affine, type FusedActivation, fusedActivations } from "./blocked-affine.ts";
import { blockedConvolution, blockedInputGrad, isBlockedConvolution, takesSum } from "./blocked-conv.ts";

/**
 * Sums of blocked images. A tree of additions is written as one chain of passes: each affine term and each data
 * gradient adds itself to what stands before it, biases ride along, and a following activation is applied by the last
 * pass. Batch normalisation, forward and backward, comes out as its known fast form this way.
 */
interface Terms {
  readonly values: Value[];
  readonly affines: Value<"channelAffine">[];
  readonly inputGrads: Value<"conv2dInputGrad">[];
  /** [C] or [N, C], repeated over the positions. */
  readonly biases: Value[];
}

const isImage = (value: Value): boolean => value.shape.length === 4 && value.dtype === "float32";

export const isAddition = (value: Value): value is Value<"binary"> =>
  isOp(value, "binary") && value.attrs.kind === "add" && isImage(value);

export function isFusedActivation(kind: ActivationKind): kind is FusedActivation {
  return kind in fusedActivations;
}

/** True when the value's only user takes it into its own pass, so that it need not be written for itself. */
export function isAbsorbed(value: Value, lowering: Lowering): boolean {
  if (lowering.block === 0 || !isImage(value)) return false;
  const user = lowering.soleUser(value);
  if (user === undefined) return false;
  const summand = isAddition(value) || isOp(value, "channelAffine") || isOp(value, "conv2dInputGrad");
  if (summand && isAddition(user)) return true;
  if (isOp(user, "channelAffine") && absorbsConvolution(user, lowering)) return user.operands[0] === value;
  const passes = isAddition(value) || isOp(value, "channelAffine");
  return passes && isOp(user, "activation") && isFusedActivation(user.attrs.kind);
}

/** A channel bias right behind a convolution that nothing else reads: the convolution adds it itself. */
function absorbsConvolution(value: Value<"channelAffine">, lowering: Lowering): boolean {
  const [conv, scale, bias] = value.operands;
  return isOp(conv!, "conv2d") && lowering.uses(conv) === 1 && constantNumber(scale!) === 1 && bias!.shape.length === 1;
}

/**
 * Writes a tree of additions or an affine map, with the activation that follows it if any.
 * Undefined where nothing in it is blocked, so that plain operators must do.
 */
export function lowerSum(root: Value, lowering: Lowering, activation?: FusedActivation): Physical | undefined {
  const terms = collect(root, lowering);
  if (!anyBlocked(terms, lowering)) return undefined;
  const passes = planPasses(terms, activation !== undefined);
  const { writer } = lowering;
  let sum: string | undefined;
  for (const value of terms.values) {
    const name = lowering.blocked(value);
    sum = sum === undefined ? name : writer.op("Add", [sum, name]);
  }
  for (const grad of terms.inputGrads) sum = blockedInputGrad(grad, lowering, sum);
  passes.forEach((pass, i) => {
    const fused = activation !== undefined && i === passes.length - 1 ? fusedActivations[activation] : {};
    sum = writePass(pass, root, lowering, sum, fused);
  });
  return { name: sum!, layout: "blocked" };
}

/** One pass over the data: scale * x + bias + what stands before; without x it runs over what stands before. */
interface Pass {
  readonly x: Value | undefined;
  readonly scales: readonly Value[];
  readonly biases: readonly Value[];
  readonly perSample: boolean;
}

function collect(root: Value, lowering: Lowering): Terms {
  const terms: Terms = { values: [], affines: [], inputGrads: [], biases: [] };
  const visit = (value: Value): void => {
    const own = value === root || lowering.uses(value) === 1;
    if (own && isAddition(value)) value.operands.forEach(visit);
    else if (own && isOp(value, "channelAffine")) terms.affines.push(value);
    else if (own && isOp(value, "conv2dInputGrad") && takesSum(value, lowering)) terms.inputGrads.push(value);
    else if (isOp(value, "broadcast") && isChannelBias(value)) terms.biases.push(value.operands[0]!);
    else terms.values.push(value);
  };
  visit(root);
  return terms;
}

function isChannelBias({ attrs: { axes }, operands }: Value<"broadcast">): boolean {
  const rank = operands[0]!.shape.length;
  return (rank === 1 && axes[0] === 1) || (rank === 2 && axes[0] === 0 && axes[1] === 1);
}

function anyBlocked({ values, affines, inputGrads }: Terms, lowering: Lowering): boolean {
  if (inputGrads.length > 0) return true;
  if (values.some((value) => !isOp(value, "broadcast") && lowering.isBlocked(value))) return true;
  return affines.some((value) => {
    const x = value.operands[0]!;
    return absorbsConvolution(value, lowering)
      ? isBlockedConvolution(x as Value<"conv2d">, lowering)
      : lowering.isBlocked(x);
  });
}

function planPasses(terms: Terms, activated: boolean): Pass[] {
  const biasesOf = (rank: number): Value[] =>
    [...terms.biases, ...terms.affines.map((value) => value.operands[2]!)].filter(
      (bias) => bias.shape.length === rank && constantNumber(bias) !== 0,
    );
  const passes: Pass[] = [];
  for (const rank of [2, 1]) {
    const perSample = rank === 2;
    let biases = biasesOf(rank);
    const scalesByInput = new Map<Value, Value[]>();
    for (const { operands } of terms.affines) {
      const [x, scale] = [operands[0]!, operands[1]!];
      if (scale.shape.length === rank) scalesByInput.set(x, [...(scalesByInput.get(x) ?? []), scale]);
    }
    for (const [x, scales] of scalesByInput) {
      passes.push({ x, scales, biases, perSample });
      biases = [];
    }
    if (biases.length > 0) passes.push({ x: undefined, scales: [], biases, perSample });
  }
  if (passes.length === 0 && activated) passes.push({ x: undefined, scales: [], biases: [], perSample: false });
  // Passes over the sum itself come last, when there is a sum.
  return passes.sort((a, b) => Number(a.x === undefined) - Number(b.x === undefined));
}

function writePass(
  { x, scales, biases, perSample }: Pass,
  root: Value,
  lowering: Lowering,
  before: string | undefined,
  activation: Record<string, Attribute>,
): string {
  const total = (vectors: readonly Value[]): string | undefined => {
    const names = vectors.map((vector) => lowering.channels(vector));
    return names.length === 0 ? undefined : names.reduce((sum, name) => lowering.writer.op("Add", [sum, name]));
  };
  const bias = total(biases);
  const extras = { perSample, activation, ...(bias === undefined ? {} : { bias }) };
  const shape = lowering.blockedShape(root.shape);
  if (x === undefined) return affine(lowering, before!, shape, extras);
  const user = scales.length === 1 ? lowering.soleUser(x) : undefined;
  const sum = before === undefined ? {} : { sum: before };
  if (user !== undefined && isOp(user, "channelAffine") && absorbsConvolution(user, lowering)) {
    const fused = blockedConvolution(x as Value<"conv2d">, lowering, { ...extras, ...sum });
    if (fused !== undefined) return fused.name;
  }
  const numbers = scales.map(constantNumber);
  const scale = numbers.every((number) => number !== undefined) ? numbers.reduce((a, b) => a + b, 0) : total(scales)!;
  return affine(lowering, lowering.blocked(x), shape, { ...extras, ...sum, scale });
}
