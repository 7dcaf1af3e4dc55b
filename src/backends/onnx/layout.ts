import type { ConvAttrs } from "../../graph/ops.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";

/**
 * How a value lies in memory.
 * - plain: row-major in its logical shape.
 * - blocked: images as [N, C/B, H, W, B], channels padded to a multiple of B. Padded channels hold finite leftovers
 *   that never reach a logical channel.
 * - the filter forms: convolution weights as the blocked kernels want them; their padding is exactly zero.
 */
export type Layout = "plain" | "blocked" | FilterForm;

/**
 * - dense: [O/B, I/B, kh, kw, B(i), B(o)]
 * - stem: few input channels in plain order: [O/B, I, kh, kw, B(o)]
 * - depthwise: [C/B, kh, kw, B]
 * - grouped: dense filters of super-groups, which are whole blocks of channels: [O/B, S/B, kh, kw, B(i), B(o)], zero
 *   where input and output belong to different groups
 * - winograd: [9, O/B, I/B, B(i), B(o)], the weights of a 3x3 kernel tap by tap
 * - matrix: [O, I] in plain order, weights of a 1x1 kernel that are transformed before they are used
 */
export type FilterForm = ConvolutionForm | "matrix";
/** The forms that a convolution takes. */
export type ConvolutionForm = "dense" | "stem" | "depthwise" | "grouped" | "winograd";

export const roundUp = (size: number, multiple: number): number => Math.ceil(size / multiple) * multiple;

/** Channels of the smallest super-group: whole groups of a width and whole blocks. */
export function superGroup(width: number, block: number): number {
  let channels = block;
  while (channels % width !== 0) channels += block;
  return channels;
}

/**
 * Shape under which a tensor of a layout is fed to onnxruntime. Filters of one tap drop the dimensions of the kernel:
 * with ones at the end of a shape, onnxruntime's arithmetic with a scalar runs element by element, 70 times slower.
 */
export function physicalShape(layout: Layout, shape: Shape, block: number): Shape {
  const [o = 1, i = 1, kh = 1, kw = 1] = shape;
  const kernel = kh * kw === 1 ? [] : [kh, kw];
  switch (layout) {
    case "plain":
      return shape;
    case "blocked":
      return [o, roundUp(i, block), kh, kw];
    case "dense":
      return [roundUp(o, block), roundUp(i, block), ...kernel];
    case "grouped":
      return [roundUp(o, block), superGroup(i, block), ...kernel];
    case "stem":
    case "depthwise":
      return [roundUp(o, block), i, ...kernel];
    case "matrix":
      return [o, i];
    case "winograd":
      return [kh * kw, i * o];
    default:
      return layout satisfies never;
  }
}

/** For each logical element of a weight [O, I, kh, kw], its place in the form. */
function* places(form: FilterForm, [o = 1, i = 1, kh = 1, kw = 1]: Shape, block: number): Generator<number> {
  const taps = kh * kw;
  const width = form === "grouped" ? superGroup(i, block) : roundUp(i, block);
  const inputBlocks = width / block;
  for (let out = 0; out < o; out++) {
    const [ob, oi] = [Math.floor(out / block), out % block];
    // Where the inputs of this output begin in its super-group.
    const first = form === "grouped" ? (Math.floor(out / i) * i) % width : 0;
    for (let inp = 0; inp < i; inp++) {
      const [ib, ii] = [Math.floor((first + inp) / block), (first + inp) % block];
      for (let tap = 0; tap < taps; tap++) {
        switch (form) {
          case "dense":
          case "grouped":
            yield (((ob * inputBlocks + ib) * taps + tap) * block + ii) * block + oi;
            break;
          case "stem":
            yield ((ob * i + inp) * taps + tap) * block + oi;
            break;
          case "depthwise":
            yield (ob * taps + tap) * block + oi;
            break;
          case "winograd":
            yield ((tap * (o / block) + ob) * i + inp) * block + oi;
            break;
          case "matrix":
            yield out * i + inp;
            break;
          default:
            form satisfies never;
        }
      }
    }
  }
}

/** Of each element of a form's memory: where it comes from in the plain weight; -1 for padding. */
export function filterSources(form: FilterForm, shape: Shape, block: number): Int32Array {
  const sources = new Int32Array(sizeOf(physicalShape(form, shape, block))).fill(-1);
  let from = 0;
  for (const to of places(form, shape, block)) sources[to] = from++;
  return sources;
}

/** Lays plain weights out in a form; padding is zero. */
export function packFilter(form: FilterForm, shape: Shape, data: Float32Array, block: number): Float32Array {
  const packed = new Float32Array(sizeOf(physicalShape(form, shape, block)));
  let from = 0;
  for (const to of places(form, shape, block)) packed[to] = data[from++]!;
  return packed;
}

/** The inverse of `packFilter`. */
export function unpackFilter(form: FilterForm, shape: Shape, packed: Float32Array, block: number): Float32Array {
  const data = new Float32Array(sizeOf(shape));
  let to = 0;
  for (const from of places(form, shape, block)) data[to++] = packed[from]!;
  return data;
}

/**
 * The form in which the blocked kernels take the weights of a convolution, or undefined where they do not apply.
 * A function of geometry alone, so that a weight, its gradient and its optimiser slots agree.
 */
export function filterForm(x: Shape, weight: Shape, conv: ConvAttrs, block: number): ConvolutionForm | undefined {
  const [n = 0, channels = 0, height = 0, width = 0] = x;
  const [o = 0, i = 0, kh = 0, kw = 0] = weight;
  if (block === 0 || kh !== kw || conv.strides[0] !== conv.strides[1] || conv.dilations.some((d) => d !== 1))
    return undefined;
  if (conv.groups > 1 && (o !== channels || channels < block)) return undefined;
  if (conv.groups > 1 && i === 1) return "depthwise";
  if (n % block !== 0) return undefined;
  if (conv.groups > 1) return roundUp(channels, block) % superGroup(i, block) === 0 ? "grouped" : undefined;
  if (channels < block) return "stem";
  const symmetric = conv.pads.every((p) => p === 1);
  const small = Math.max(height, width) <= 16;
  const wide = i >= 128 && o >= 128 && i % block === 0 && o % block === 0;
  if (kh === 3 && conv.strides[0] === 1 && symmetric && small && wide) return "winograd";
  return "dense";
}
