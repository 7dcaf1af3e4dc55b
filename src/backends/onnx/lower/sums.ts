import { filledNumber } from "../../../graph/build.ts";
import type { ActivationKind } from "../../../graph/ops.ts";
import { isOp, type Value } from "../../../graph/value.ts";
import { sizeOf } from "../../../tensor/shape.ts";
import type { Factored, Lowering, Physical } from "../lowering.ts";
import type { Attribute } from "../model-writer.ts";
import { affine, type FusedActivation, fusedActivations } from "./blocked-affine.ts";
import { blockedConvolution, blockedInputGrad, isBlockedConvolution, takesFactor, takesSum } from "./blocked-conv.ts";

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
  return isOp(conv!, "conv2d") && lowering.uses(conv) === 1 && filledNumber(scale!) === 1 && bias!.shape.length === 1;
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

/**
 * The gradient behind a batch normalisation, a * g + b * x + c with x the output of a convolution, as a times
 * (g + (b / a) * x + c / a): one pass instead of two. The convolution's gradients are linear in it and take the factor a
 * into the filters and into the result. Where a is 0, b and c are too.
 */
export function factoredGradient(root: Value, lowering: Lowering): Factored | undefined {
  if (!hasFactor(root, lowering)) return undefined;
  const { writer } = lowering;
  const terms = collect(root, lowering);
  const { gradient, output } = normTerms(terms)!;
  const scaleOf = (image: Value): string =>
    total(
      terms.affines.filter(({ operands }) => operands[0] === image).map(({ operands }) => operands[1]!),
      lowering,
    )!;
  const factor = scaleOf(gradient);
  const divisor = writer.op("Where", [writer.op("Equal", [factor, writer.float(0)]), writer.float(1e-30), factor]);
  const bias = total(biasesOf(terms, 1), lowering);
  const name = affine(lowering, lowering.blocked(output), lowering.blockedShape(root.shape), {
    scale: writer.op("Div", [scaleOf(output), divisor]),
    ...(bias === undefined ? {} : { bias: writer.op("Div", [bias, divisor]) }),
    sum: lowering.blocked(gradient),
  });
  return { name, factor: divisor };
}

/** True for a gradient that nothing needs but the gradients of the convolution that it belongs to. */
export function hasFactor(value: Value, lowering: Lowering): boolean {
  if (lowering.block === 0 || !isAddition(value)) return false;
  const users = lowering.users(value);
  const linear = users.every(
    (user) =>
      (isOp(user, "conv2dInputGrad") && takesSum(user, lowering)) ||
      (isOp(user, "conv2dWeightGrad") && user.operands[0] !== value && takesFactor(user, lowering)),
  );
  // The factor costs a pass over the filters each time, which must be smaller than the image.
  const small = users.every((user) => !isOp(user, "conv2dWeightGrad") || 2 * sizeOf(user.shape) <= sizeOf(value.shape));
  if (!linear || !small || users.length !== lowering.uses(value)) return false;
  const images = normTerms(collect(value, lowering));
  return images !== undefined && lowering.isBlocked(images.gradient) && lowering.isBlocked(images.output);
}

/** The images of a sum with one scale a channel for a gradient and for the output of a convolution. */
function normTerms(terms: Terms): { readonly gradient: Value; readonly output: Value } | undefined {
  const { values, affines, inputGrads, biases } = terms;
  const vectors = [...biases, ...affines.flatMap(({ operands }) => operands.slice(1))];
  if (values.length + inputGrads.length > 0 || vectors.some(({ shape }) => shape.length !== 1)) return undefined;
  const images = [...new Set(affines.map(({ operands }) => operands[0]!))];
  const [gradient, output] = [images.find((x) => !isOp(x, "conv2d")), images.find((x) => isOp(x, "conv2d"))];
  return images.length === 2 && gradient && output ? { gradient, output } : undefined;
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

/** The terms [C] (rank 1) or [N, C] (rank 2) that do not depend on the position. */
function biasesOf(terms: Terms, rank: number): Value[] {
  return [...terms.biases, ...terms.affines.map((value) => value.operands[2]!)].filter(
    (bias) => bias.shape.length === rank && filledNumber(bias) !== 0,
  );
}

/** Sum of channel vectors, or undefined of none. */
function total(vectors: readonly Value[], lowering: Lowering): string | undefined {
  const names = vectors.map((vector) => lowering.channels(vector));
  return names.length === 0 ? undefined : names.reduce((sum, name) => lowering.writer.op("Add", [sum, name]));
}

function planPasses(terms: Terms, activated: boolean): Pass[] {
  const passes: Pass[] = [];
  for (const rank of [2, 1]) {
    const perSample = rank === 2;
    let biases = biasesOf(terms, rank);
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
  const bias = total(biases, lowering);
  const extras = { perSample, activation, ...(bias === undefined ? {} : { bias }) };
  const shape = lowering.blockedShape(root.shape);
  if (x === undefined) return affine(lowering, before!, shape, extras);
  const user = scales.length === 1 ? lowering.soleUser(x) : undefined;
  const sum = before === undefined ? {} : { sum: before };
  if (user !== undefined && isOp(user, "channelAffine") && absorbsConvolution(user, lowering)) {
    const fused = blockedConvolution(x as Value<"conv2d">, lowering, { ...extras, ...sum });
    if (fused !== undefined) return fused.name;
  }
  const numbers = scales.map(filledNumber);
  const scale = numbers.every((number) => number !== undefined)
    ? numbers.reduce((a, b) => a + b, 0)
    : total(scales, lowering)!;
  return affine(lowering, lowering.blocked(x), shape, { ...extras, ...sum, scale });
}
