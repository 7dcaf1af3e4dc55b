import type { Value } from "../../../graph/value.ts";
import { type FilterForm, filterForm, physicalShape, roundUp, superGroup } from "../layout.ts";
import type { Lowering, Physical } from "../lowering.ts";
import type { Attribute } from "../model-writer.ts";
import { affine, type ImageShape, nchwc } from "./blocked-affine.ts";
import { exchangedInside } from "./exchange.ts";
import { scaleFilter } from "./scale-filter.ts";
import { zeroInsert } from "./spread.ts";
import { winogradConvolution, winogradInputGrad } from "./winograd.ts";

/** Form of a convolution's weights when the blocked kernels take it. */
function formOf(conv: Value<"conv2d">, lowering: Lowering): FilterForm | undefined {
  return filterForm(conv.operands[0]!.shape, conv.operands[1]!.shape, conv.attrs, lowering.block);
}

export function isBlockedConvolution(conv: Value<"conv2d">, lowering: Lowering): boolean {
  return formOf(conv, lowering) !== undefined;
}

export interface ConvolutionExtras {
  readonly bias?: string;
  readonly sum?: string;
  readonly activation?: Record<string, Attribute>;
}

/** Forward convolution, with what follows it where the kernel can do that in the same pass. */
export function blockedConvolution(
  conv: Value<"conv2d">,
  lowering: Lowering,
  { bias, sum, activation = {} }: ConvolutionExtras = {},
): Physical | undefined {
  const form = formOf(conv, lowering);
  if (form === undefined) return undefined;
  const [x, w] = [conv.operands[0]!, conv.operands[1]!];
  if (form === "winograd") {
    const result = winogradConvolution(x, w, lowering);
    const extra = bias !== undefined || sum !== undefined || Object.keys(activation).length > 0;
    if (!extra) return { name: result, layout: "blocked" };
    const options = { activation, ...(bias === undefined ? {} : { bias }), ...(sum === undefined ? {} : { sum }) };
    return { name: affine(lowering, result, lowering.blockedShape(conv.shape), options), layout: "blocked" };
  }
  const { strides, pads } = conv.attrs;
  const image = form === "stem" ? lowering.plain(x) : lowering.blocked(x);
  const operands = [image, kernels(w, form, lowering.filter(w, form), lowering)];
  if (bias !== undefined || sum !== undefined) operands.push(bias ?? "");
  if (sum !== undefined) operands.push(sum);
  const group = groupsOf(form, lowering.blockedShape(x.shape)[1], w, lowering);
  const attributes = { kernel_shape: w.shape.slice(2), strides, pads, group, ...activation };
  return { name: lowering.writer.op("Conv", operands, attributes, nchwc), layout: "blocked" };
}

/** Groups of the blocked kernels. */
function groupsOf(form: FilterForm, channels: number, w: Value, { block }: Lowering): number {
  if (form === "depthwise") return channels;
  return form === "grouped" ? channels / superGroup(w.shape[1]!, block) : 1;
}

/** A filter in the shape [O, I, kh, kw] that a convolution takes. */
function kernels({ shape }: Value, form: FilterForm, filter: string, lowering: Lowering): string {
  const physical = physicalShape(form, shape, lowering.block);
  if (physical.length === 4) return filter;
  return lowering.memo(`kernels ${filter}`, () => lowering.writer.reshape(filter, [...physical, 1, 1]));
}

function gradFormOf(grad: Value<"conv2dInputGrad">, lowering: Lowering): FilterForm | undefined {
  const form = filterForm(grad.attrs.inputShape, grad.operands[1]!.shape, grad.attrs, lowering.block);
  return form === "stem" ? undefined : form;
}

/** True when the data gradient can start from an accumulated sum. */
export function takesSum(grad: Value<"conv2dInputGrad">, lowering: Lowering): boolean {
  return gradFormOf(grad, lowering) !== undefined;
}

/** True when the weight gradient is done by the blocked kernels, which leave the factor of dy to the end. */
export function takesFactor(grad: Value<"conv2dWeightGrad">, lowering: Lowering): boolean {
  return filterForm(grad.operands[0]!.shape, grad.attrs.weightShape, grad.attrs, lowering.block) !== undefined;
}

export function lowerInputGrad(grad: Value<"conv2dInputGrad">, lowering: Lowering): Physical | undefined {
  if (gradFormOf(grad, lowering) === undefined) return undefined;
  return { name: blockedInputGrad(grad, lowering, undefined), layout: "blocked" };
}

/** Weights in their form, each output channel times its factor. */
function factoredFilter(w: Value, form: FilterForm, factor: string | undefined, lowering: Lowering): string {
  const filter = lowering.filter(w, form);
  return factor === undefined ? filter : scaleFilter(lowering, filter, form, w.shape, factor);
}

/** Data gradient plus `sum`: a convolution of dy by the flipped filters with their channels exchanged. */
export function blockedInputGrad(grad: Value<"conv2dInputGrad">, lowering: Lowering, sum: string | undefined): string {
  const { writer } = lowering;
  const [dy, w] = [grad.operands[0]!, grad.operands[1]!];
  const form = gradFormOf(grad, lowering)!;
  const { name: gradient, factor } = lowering.factored(dy);
  const weights = factoredFilter(w, form, factor, lowering);
  if (form === "winograd") {
    const result = winogradInputGrad(dy, w, weights, lowering);
    return sum === undefined ? result : writer.op("Add", [sum, result]);
  }
  const { strides, pads, inputShape } = grad.attrs;
  const [kh, kw] = w.shape.slice(2) as [number, number];
  const [, channels, height, width] = lowering.blockedShape(inputShape);
  const outputs = roundUp(w.shape[0]!, lowering.block);
  let image = gradient;
  let [h, wd] = dy.shape.slice(2) as [number, number];
  if (strides[0] > 1) {
    [h, wd] = [(h - 1) * strides[0] + 1, (wd - 1) * strides[1] + 1];
    image = lowering.memo(`spread ${strides[0]} ${gradient}`, () =>
      zeroInsert(lowering, gradient, lowering.blockedShape(dy.shape), strides[0], [h, wd]),
    );
  }
  const top = kh - 1 - pads[0];
  const left = kw - 1 - pads[1];
  const around = [top, left, height - (h + top - kh + 1), width - (wd + left - kw + 1)];
  const group = groupsOf(form, channels, w, lowering);
  const filters =
    form === "depthwise"
      ? flippedDepthwise(lowering, kernels(w, form, weights, lowering), [channels, kh, kw])
      : exchangedDense(lowering, weights, group, [outputs / group, channels / group, kh, kw]);
  const operands = sum === undefined ? [image, filters] : [image, filters, "", sum];
  return writer.op("Conv", operands, { kernel_shape: [kh, kw], pads: around, group }, nchwc);
}

function reversed(count: number): number[] {
  return Array.from({ length: count }, (_, i) => count - 1 - i);
}

function flippedDepthwise(lowering: Lowering, filters: string, [c, kh, kw]: readonly [number, number, number]): string {
  const { writer, block } = lowering;
  if (kh * kw === 1) return filters;
  const taps = writer.reshape(filters, [c / block, kh * kw, block]);
  return writer.reshape(writer.op("Gather", [taps, writer.ints(reversed(kh * kw))], { axis: 1 }), [c, 1, kh, kw]);
}

/** Dense form of O x I filters, for each of some groups, to the dense form of the flipped I x O filters. */
function exchangedDense(lowering: Lowering, filters: string, groups: number, [o, i, kh, kw]: ImageShape): string {
  const { writer, block } = lowering;
  const [ob, ib, taps] = [o / block, i / block, kh * kw];
  let blocks = writer.reshape(filters, [groups, ob, ib, taps * block * block]);
  if (ob > 1 && ib > 1) blocks = writer.transpose(blocks, [0, 2, 1, 3]);
  blocks = writer.reshape(blocks, [groups * ib * ob, taps, block * block]);
  if (taps > 1) blocks = writer.op("Gather", [blocks, writer.ints(reversed(taps))], { axis: 1 });
  return writer.reshape(exchangedInside(lowering, blocks, groups * ib * ob * taps), [groups * i, o, kh, kw]);
}
