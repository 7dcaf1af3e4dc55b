import type { Value } from "../../../graph/value.ts";
import { sizeOf } from "../../../tensor/shape.ts";
import { type ConvolutionForm, filterForm, packFilter, physicalShape, superGroup } from "../layout.ts";
import type { Lowering, Physical } from "../lowering.ts";
import { affine, nchwc } from "./blocked-affine.ts";
import { exchangedBlocks, positionsAsChannels } from "./exchange.ts";
import { scaleFilter } from "./scale-filter.ts";
import { gatherPositions } from "./spread.ts";
import { winogradWeightGrad } from "./winograd.ts";

/** Weight gradients in the form in which the weights lie; the padding of the form comes out exactly zero. */
export function lowerWeightGrad(grad: Value<"conv2dWeightGrad">, lowering: Lowering): Physical | undefined {
  const { operands, attrs } = grad;
  const form = filterForm(operands[0]!.shape, attrs.weightShape, attrs, lowering.block);
  if (form === undefined) return undefined;
  const { name: gradient, factor } = lowering.factored(operands[1]!);
  const result = inForm(form, grad, gradient, lowering);
  const oneTap = sizeOf(attrs.weightShape.slice(2)) === 1;
  const shape = physicalShape(form, attrs.weightShape, lowering.block);
  const name = oneTap ? lowering.writer.reshape(result, shape) : result;
  return {
    name: factor === undefined ? name : scaleFilter(lowering, name, form, attrs.weightShape, factor),
    layout: form,
  };
}

/** `gradient`: the blocked image of dy without its factor. */
function inForm(form: ConvolutionForm, grad: Value<"conv2dWeightGrad">, gradient: string, lowering: Lowering): string {
  switch (form) {
    case "winograd":
      return winogradWeightGrad(grad.operands[0]!, grad.operands[1]!, lowering);
    case "depthwise":
      return depthwise(grad, gradient, lowering);
    case "stem":
      return stem(grad, gradient, lowering);
    case "dense": {
      const [, , kernel] = grad.attrs.weightShape;
      if (winogradPays(grad, lowering)) return winogradInDenseForm(grad, lowering);
      const name = kernel === 1 ? pointwise(grad, gradient, lowering) : dense(grad, gradient, lowering);
      return zeroPadding(name, form, grad, lowering);
    }
    case "grouped":
      return zeroPadding(dense(grad, gradient, lowering), form, grad, lowering);
    default:
      return form satisfies never;
  }
}

/** Large images, which are convolved directly, gain from Winograd's transform in the weight gradient alone. */
function winogradPays({ operands, attrs }: Value<"conv2dWeightGrad">, lowering: Lowering): boolean {
  const [o, i, kh, kw] = attrs.weightShape as [number, number, number, number];
  const [, , height, width] = operands[0]!.shape as [number, number, number, number];
  const same = attrs.strides.every((n) => n === 1) && attrs.pads.every((n) => n === 1);
  const whole = i % lowering.block === 0 && o % lowering.block === 0;
  return kh === 3 && kw === 3 && same && whole && Math.min(i, o) >= 64 && Math.max(height, width) > 16;
}

function winogradInDenseForm({ operands, attrs }: Value<"conv2dWeightGrad">, lowering: Lowering): string {
  const { writer, block } = lowering;
  const [o, i] = attrs.weightShape as [number, number];
  const taps = writer.reshape(winogradWeightGrad(operands[0]!, operands[1]!, lowering), [
    9,
    (o * i) / block ** 2,
    block ** 2,
  ]);
  return writer.reshape(writer.transpose(taps, [1, 0, 2]), attrs.weightShape);
}

/** Clears what leftovers in padded channels and pairs of different groups have added to the padding of a form. */
function zeroPadding(
  name: string,
  form: "dense" | "grouped",
  { attrs }: Value<"conv2dWeightGrad">,
  lowering: Lowering,
): string {
  const { writer, block } = lowering;
  const [o, i, ...kernel] = attrs.weightShape as [number, number, number, number];
  const [op, ip] = physicalShape(form, attrs.weightShape, block) as [number, number];
  if (o === op && i === ip) return name;
  const ones = packFilter(form, [o, i, 1, 1], new Float32Array(o * i).fill(1), block);
  const mask = writer.floats([op / block, ip / block, 1, block * block], ones);
  const taps = writer.reshape(name, [op / block, ip / block, sizeOf(kernel), block * block]);
  return writer.reshape(writer.op("Mul", [taps, mask]), [op, ip, ...kernel]);
}

/** Each channel of each image is correlated with its dy; the images are summed. */
function depthwise({ operands, attrs }: Value<"conv2dWeightGrad">, gradient: string, lowering: Lowering): string {
  const { writer, block } = lowering;
  const [x, dy] = [operands[0]!, operands[1]!];
  const [n, c, h, w] = lowering.blockedShape(x.shape);
  const [oh, ow] = dy.shape.slice(2) as [number, number];
  const [, , kh, kw] = attrs.weightShape as [number, number, number, number];
  const { strides, pads } = attrs;
  // What the last window does not reach is cut off, so that the result has exactly kh x kw places.
  const reach = (size: number, before: number, out: number, stride: number, kernel: number): number =>
    (out - 1) * stride + kernel - size - before;
  const around = [pads[0], pads[1], reach(h, pads[0], oh, strides[0], kh), reach(w, pads[1], ow, strides[1], kw)];
  const images = writer.reshape(lowering.blocked(x), [1, n * c, h, w]);
  const filters = writer.reshape(gradient, [n * c, 1, oh, ow]);
  const attributes = { kernel_shape: [oh, ow], pads: around, dilations: strides, group: n * c };
  const perImage = writer.reshape(writer.op("Conv", [images, filters], attributes, nchwc), [n, c * kh * kw]);
  const total = writer.op("ReduceSum", [perImage, writer.ints([0])], { keepdims: 0 });
  const name = writer.reshape(total, [c, 1, kh, kw]);
  const logical = x.shape[1]!;
  if (logical === c) return name;
  const mask = packFilter("depthwise", [logical, 1, 1, 1], new Float32Array(logical).fill(1), block);
  const taps = writer.reshape(name, [c / block, kh * kw, block]);
  return writer.reshape(writer.op("Mul", [taps, writer.floats([c / block, 1, block], mask)]), [c, 1, kh, kw]);
}

/**
 * A product of matrices over all positions, done by the 1x1 kernels: the blocked image with more channels is, as it lies
 * in memory, the filters of a convolution that takes positions for input channels; the other one becomes its image by a
 * blockwise transposition. Small images are joined along their positions; large ones are groups, summed afterwards.
 */
function pointwise({ operands, attrs }: Value<"conv2dWeightGrad">, gradient: string, lowering: Lowering): string {
  const { writer, block } = lowering;
  const [x, dy] = [operands[0]!, operands[1]!];
  const [n, ci, h, w] = lowering.blockedShape(x.shape);
  const [, co, oh, ow] = lowering.blockedShape(dy.shape);
  let image = lowering.blocked(x);
  const [sy, sx] = attrs.strides;
  if (sy > 1 || h !== oh || w !== ow) {
    const places = Int32Array.from({ length: oh * ow }, (_, i) => Math.floor(i / ow) * sy * w + (i % ow) * sx);
    image = gatherPositions(lowering, image, [n, ci, h, w], places, [oh, ow]);
  }
  const [narrow, wide] = [Math.min(ci, co), Math.max(ci, co)];
  const groups = (oh * ow) % block === 0 && 4 * narrow <= oh * ow ? n : 1;
  const positions = (n * oh * ow) / groups;
  const grouped = (name: string, channels: number): string =>
    groups === n
      ? name
      : lowering.memo(`joined ${name}`, () =>
          writer.transpose(writer.reshape(name, [n, channels / block, oh * ow * block]), [1, 0, 2]),
        );
  const turned = (name: string, channels: number): string =>
    lowering.memo(`turned ${name} ${groups}`, () =>
      positionsAsChannels(lowering, grouped(name, channels), { groups, channels, positions }),
    );
  const [images, filters] =
    co >= ci ? [turned(image, ci), grouped(gradient, co)] : [turned(gradient, co), grouped(image, ci)];
  const kernels = writer.reshape(filters, [groups * wide, positions, 1, 1]);
  let product = writer.op("Conv", [images, kernels], { kernel_shape: [1, 1], group: groups }, nchwc);
  if (groups > 1) {
    const each = writer.reshape(product, [groups, wide * narrow]);
    product = writer.op("ReduceSum", [each, writer.ints([0])], { keepdims: 0 });
  }
  return co < ci ? exchangedBlocks(lowering, product, [1, ci, co]) : product;
}

/** Rows of output that one filter of the role-exchanged convolution covers. */
function chunkRows(height: number, stride: number): number {
  return height > 16 && stride === 1 ? 16 : height;
}

/** dy as filters over the batch: [O, N * chunks, rows, OW] in dense form, rows padded by zeros to whole chunks. */
function gradientFilters(
  dy: Value,
  gradient: string,
  { rows, chunks }: { readonly rows: number; readonly chunks: number },
  lowering: Lowering,
): string {
  const { writer, block } = lowering;
  const [n, co, oh, ow] = lowering.blockedShape(dy.shape);
  let name = gradient;
  if (rows * chunks > oh) {
    name = affine(lowering, name, [n, co, oh, ow], { pads: [0, 0, rows * chunks - oh, 0] });
  }
  const parts = writer.reshape(name, [n / block, block, co / block, rows * chunks * ow, block]);
  return writer.reshape(writer.transpose(parts, [2, 0, 3, 1, 4]), [co, n * chunks, rows, ow]);
}

/**
 * k x k: batch and input channels exchange roles, so that dy becomes the filters of a convolution over x. x is brought
 * there by one gather and one blockwise transposition; blocks of channels are interleaved along the width, since the
 * kernels want at least six outputs side by side; tall images are cut into chunks of rows that become more batch.
 */
function dense({ operands, attrs }: Value<"conv2dWeightGrad">, gradient: string, lowering: Lowering): string {
  const { writer, block } = lowering;
  const [x, dy] = [operands[0]!, operands[1]!];
  const [n, channels, h, w] = lowering.blockedShape(x.shape);
  const [, co, oh, ow] = lowering.blockedShape(dy.shape);
  const [, group, kh, kw] = attrs.weightShape as [number, number, number, number];
  // Super-groups are further batches: each meets its own outputs only.
  const ci = attrs.groups === 1 ? channels : superGroup(group, block);
  const supers = channels / ci;
  const [stride] = attrs.strides;
  const rows = chunkRows(oh, stride);
  const chunks = Math.ceil(oh / rows);
  const reachHeight = (rows * chunks - 1) * stride + kh;
  const width = (ow - 1) * stride + kw;
  const pads = [attrs.pads[0], attrs.pads[1], reachHeight - h - attrs.pads[0], width - w - attrs.pads[1]] as const;
  const source = lowering.blocked(x);
  const padded = lowering.memo(`padding ${pads} ${source}`, () =>
    affine(lowering, source, [n, channels, h, w], { pads }),
  );

  const blocks = ci / block;
  const side = interleave(blocks, h);
  const groups = blocks / side;
  const height = (rows - 1) * stride + kh;
  const places = new Int32Array(groups * supers * n * chunks * height * width * side);
  let at = 0;
  for (let first = 0; first < groups * side; first += side) {
    for (let part = 0; part < supers; part++) {
      for (let nb = 0; nb < n; nb += block) {
        for (let chunk = 0; chunk < chunks; chunk++) {
          for (let row = 0; row < height; row++) {
            const y = chunk * rows * stride + row;
            for (let column = 0; column < width; column++) {
              for (let j = part * blocks + first; j < part * blocks + first + side; j++) {
                for (let image = nb; image < nb + block; image++) {
                  places[at++] = ((image * supers * blocks + j) * reachHeight + y) * width + column;
                }
              }
            }
          }
        }
      }
    }
  }
  const gathered = writer.op("Gather", [writer.reshape(padded, [-1, block]), writer.indices(places)]);
  const perGroup = places.length / groups;
  const turned = writer.op(
    "ReorderOutput",
    [writer.reshape(gathered, [groups, block, perGroup, 1])],
    { channels: block },
    nchwc,
  );
  // One block of channels alone: interleave single channels instead, at the price of one more pass.
  const inner = groups * side === 1 ? (h >= 32 ? 4 : 2) : 1;
  const exchanged =
    inner === 1
      ? turned
      : writer.transpose(writer.reshape(turned, [block / inner, inner, perGroup / block, block]), [0, 2, 1, 3]);
  const across = side * inner;
  const images = writer.reshape(exchanged, [(groups * block) / inner, supers * n * chunks, height, width * across]);
  const filters = gradientFilters(dy, gradient, { rows, chunks }, lowering);
  const attributes = { kernel_shape: [rows, ow], dilations: [stride, stride * across], group: supers };
  const product = writer.op("Conv", [images, filters], attributes, nchwc);
  const parts = writer.reshape(product, [groups, block / inner, co / block, kh * kw, side, inner, block]);
  return writer.reshape(writer.transpose(parts, [2, 0, 4, 3, 1, 5, 6]), [co, ci, kh, kw]);
}

/** How many blocks of channels stand side by side. */
function interleave(blocks: number, height: number): number {
  if (blocks % 4 === 0 && height >= 31) return 4;
  if (blocks % 2 === 0) return 2;
  return blocks % 3 === 0 ? 3 : 1;
}

/** Few input channels in plain order: the same exchange without blocks of input channels. */
function stem({ operands, attrs }: Value<"conv2dWeightGrad">, gradient: string, lowering: Lowering): string {
  const { writer, block } = lowering;
  const [x, dy] = [operands[0]!, operands[1]!];
  const [n, ci, h, w] = x.shape as [number, number, number, number];
  const [, co, oh, ow] = lowering.blockedShape(dy.shape);
  const [o, , kh, kw] = attrs.weightShape as [number, number, number, number];
  const [stride] = attrs.strides;
  const rows = chunkRows(oh, stride);
  const chunks = Math.ceil(oh / rows);
  const [reachHeight, width] = [(rows * chunks - 1) * stride + kh, (ow - 1) * stride + kw];
  const [top, left] = attrs.pads;
  const pads = [0, 0, top, left, 0, 0, reachHeight - h - top, width - w - left];
  const padded = writer.op("Pad", [lowering.plain(x), writer.ints(pads)]);
  let images = writer.op("ReorderInput", [writer.transpose(padded, [1, 0, 2, 3])], {}, nchwc);
  const height = (rows - 1) * stride + kh;
  if (chunks > 1) {
    const lines = Int32Array.from(
      { length: chunks * height },
      (_, i) => Math.floor(i / height) * rows * stride + (i % height),
    );
    const whole = writer.reshape(images, [(ci * n) / block, reachHeight, width * block]);
    images = writer.op("Gather", [whole, writer.indices(lines)], { axis: 1 });
  }
  const product = writer.op(
    "Conv",
    [
      writer.reshape(images, [ci, n * chunks, height, width]),
      gradientFilters(dy, gradient, { rows, chunks }, lowering),
    ],
    { kernel_shape: [rows, ow], dilations: [stride, stride] },
    nchwc,
  );
  const turned = writer.transpose(writer.reshape(product, [ci, co / block, kh * kw * block]), [1, 0, 2]);
  if (o === co) return writer.reshape(turned, [co, ci, kh, kw]);
  const mask = packFilter("depthwise", [o, 1, 1, 1], new Float32Array(o).fill(1), block);
  const taps = writer.reshape(turned, [co / block, ci * kh * kw, block]);
  return writer.reshape(writer.op("Mul", [taps, writer.floats([co / block, 1, block], mask)]), [co, ci, kh, kw]);
}
