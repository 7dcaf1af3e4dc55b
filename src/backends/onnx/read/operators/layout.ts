import { concat, flip, pad, reshape, slice, transpose } from "../../../../graph/build.ts";
import type { Value } from "../../../../graph/value.ts";
import { type Shape, sizeOf } from "../../../../tensor/shape.ts";
import { commonShape, spreadTo } from "../broadcasting.ts";
import { shapeOf } from "../item.ts";
import { kindOf, wholeNumbers } from "../known.ts";
import type { OnnxNode } from "../onnx-node.ts";
import type { ReadRule } from "./rule.ts";

/** Slices that one node may be made of. */
const maxParts = 1024;

export const identity: ReadRule = (node) => node.item(0);

export const dropout: ReadRule = (node) => {
  const training = node.operands[2] === undefined ? 0 : node.known(2).data[0];
  return training === 0 ? node.item(0) : node.refuse("it is in training mode");
};

export const cast: ReadRule = (node) => {
  const to = node.integer("to", 0);
  return kindOf(to) === "float" ? node.value(0) : node.refuse(`it changes values to ONNX's type ${to}`);
};

export const shapeOfOperand: ReadRule = (node) => {
  const shape = shapeOf(node.item(0));
  const [start, end] = [node.integer("start", 0), node.integer("end", shape.length)];
  const part = shape.slice(start, end);
  return wholeNumbers([part.length], part);
};

export const sizeOfOperand: ReadRule = (node) => wholeNumbers([], [sizeOf(shapeOf(node.item(0)))]);

/** The shape that Reshape asks for: 0 keeps a dimension, -1 is what is left. */
export function resolveShape(node: OnnxNode, from: Shape, wanted: readonly number[], keepZeros: boolean): number[] {
  const shape = wanted.map((dim, i) => (dim === 0 && keepZeros ? (from[i] ?? node.damaged("0 keeps nothing")) : dim));
  const open = shape.indexOf(-1);
  if (shape.some((dim, i) => dim < 0 && i !== open)) return node.damaged(`it asks for [${wanted}]`);
  if (open >= 0) {
    const others = shape.reduce((size, dim, i) => (i === open ? size : size * dim), 1);
    shape[open] = sizeOf(from) / others;
  }
  if (!shape.every(Number.isSafeInteger) || sizeOf(shape) !== sizeOf(from)) {
    return node.damaged(`[${from}] cannot become [${wanted}]`);
  }
  return shape;
}

export const reshaping: ReadRule = (node) => {
  const x = node.value(0);
  const wanted = node.numbersAt(1, "shape") ?? node.damaged("it has no shape");
  const { file, graph } = node.batch;
  // A file of a fixed batch has its size in such shapes.
  const own = file !== undefined && wanted[0] === file && x.shape[0] === graph && node.dependsOnInput(x);
  const shape = own ? [graph, ...wanted.slice(1)] : wanted;
  return reshape(x, resolveShape(node, x.shape, shape, node.integer("allowzero", 0) === 0));
};

export const flattening: ReadRule = (node) => {
  const x = node.value(0);
  const given = node.integer("axis", 1);
  const axis = given === x.shape.length ? given : node.axis(given, x.shape.length);
  return reshape(x, [sizeOf(x.shape.slice(0, axis)), sizeOf(x.shape.slice(axis))]);
};

export function squeezedShape(node: OnnxNode, shape: Shape): number[] {
  const given = node.numbersAt(1, "axes");
  const axes = given?.map((axis) => node.axis(axis, shape.length));
  const gone = axes ?? shape.flatMap((dim, i) => (dim === 1 ? [i] : []));
  if (gone.some((axis) => shape[axis] !== 1)) return node.damaged(`[${shape}] has more than one element there`);
  return shape.filter((_, i) => !gone.includes(i));
}

export function unsqueezedShape(node: OnnxNode, shape: Shape): number[] {
  const given = node.numbersAt(1, "axes") ?? node.damaged("it has no axes");
  const rank = shape.length + given.length;
  const axes = given.map((axis) => node.axis(axis, rank));
  if (new Set(axes).size !== axes.length) return node.damaged(`axes [${given}] repeat`);
  const rest = [...shape];
  return Array.from({ length: rank }, (_, i) => (axes.includes(i) ? 1 : rest.shift()!));
}

export const squeezing: ReadRule = (node) => reshape(node.value(0), squeezedShape(node, node.value(0).shape));
export const unsqueezing: ReadRule = (node) => reshape(node.value(0), unsqueezedShape(node, node.value(0).shape));

export const transposition: ReadRule = (node) => {
  const x = node.value(0);
  return transpose(x, node.integers("perm") ?? x.shape.map((_, i) => x.shape.length - 1 - i));
};

export const concatenation: ReadRule = (node) => {
  const parts = node.operands.map((_, i) => node.value(i)).filter(({ shape }) => sizeOf(shape) > 0);
  const [first] = parts;
  if (first === undefined) return node.damaged("it has no operands");
  return concat(parts, node.axis(node.integer("axis", 1), first.shape.length));
};

export const splitting: ReadRule = (node) => {
  const x = node.value(0);
  const axis = node.axis(node.integer("axis", 0), x.shape.length);
  const count = node.outputs.length;
  const size = Math.ceil(x.shape[axis]! / count);
  const even = node.outputs.map((_, i) => Math.min(size, x.shape[axis]! - i * size));
  const sizes = node.numbersAt(1, "split") ?? even;
  if (sizes.length !== count || sizes.reduce((a, b) => a + b, 0) !== x.shape[axis] || sizes.some((part) => part < 1)) {
    return node.damaged(`${x.shape[axis]} cannot become parts of ${sizes.slice(0, 8)}`);
  }
  let start = 0;
  return sizes.map((part) => {
    start += part;
    return slice(x, axis, start - part, start);
  });
};

export interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** What Slice takes along each axis; a step of -1 is a whole axis in reverse order. */
export function cutsOf(node: OnnxNode, shape: Shape): Cut[] {
  const starts = node.numbersAt(1, "starts") ?? node.damaged("it has no starts");
  const ends = node.numbersAt(2, "ends") ?? node.damaged("it has no ends");
  const axes = node.numbersAt(3, "axes") ?? starts.map((_, i) => i);
  const steps = node.operands[4] === undefined ? starts.map(() => 1) : node.numbers(4);
  if ([ends, axes, steps].some(({ length }) => length !== starts.length)) return node.damaged("its operands differ");
  return axes.map((given, i) => {
    const axis = node.axis(given, shape.length);
    const dim = shape[axis]!;
    const bound = (place: number): number => Math.min(dim, Math.max(0, place < 0 ? place + dim : place));
    const step = steps[i]!;
    if (step === -1 && bound(starts[i]!) >= dim - 1 && ends[i]! < -dim) return { axis, start: 0, end: dim, step };
    if (step < 1) return node.refuse(`its step is ${step}`);
    return { axis, start: bound(starts[i]!), end: bound(ends[i]!), step };
  });
}

export const slicing: ReadRule = (node) =>
  cutsOf(node, node.value(0).shape).reduce((value, cut) => take(value, cut), node.value(0));

function take(x: Value, { axis, start, end, step }: Cut): Value {
  if (step === -1) return flip(x, [axis]);
  const part = start === 0 && end === x.shape[axis] ? x : slice(x, axis, start, end);
  if (step === 1) return part;
  // Every step-th one: the first of each group of so many.
  const count = Math.ceil((end - start) / step);
  const missing = count * step - (end - start);
  const whole = missing === 0 ? part : pad(part, axis, 0, missing);
  const [before, after] = [whole.shape.slice(0, axis), whole.shape.slice(axis + 1)];
  const groups = slice(reshape(whole, [...before, count, step, ...after]), axis + 1, 0, 1);
  return reshape(groups, [...before, count, ...after]);
}

/** Parts of a value by places that are known. */
export const gathering: ReadRule = (node) => {
  const x = node.value(0);
  const axis = node.axis(node.integer("axis", 0), x.shape.length);
  const { shape } = node.known(1);
  const places = node.numbers(1).map((place) => node.axis(place, x.shape[axis]!));
  if (places.length === 0 || places.length > maxParts) return node.refuse(`it gathers ${places.length} parts`);
  const parts = places.map((place) => slice(x, axis, place, place + 1));
  const together = parts.length === 1 ? parts[0]! : concat(parts, axis);
  return reshape(together, [...x.shape.slice(0, axis), ...shape, ...x.shape.slice(axis + 1)]);
};

export const expansion: ReadRule = (node) => {
  const x = node.value(0);
  const wanted = node.numbers(1);
  const { file, graph } = node.batch;
  const own = file !== undefined && file !== 1 && wanted[0] === file && x.shape[0] === graph && node.dependsOnInput(x);
  const shape = commonShape([x.shape, own ? [graph, ...wanted.slice(1)] : wanted]);
  return shape === undefined ? node.damaged(`[${x.shape}] cannot become [${wanted}]`) : spreadTo(x, shape);
};
