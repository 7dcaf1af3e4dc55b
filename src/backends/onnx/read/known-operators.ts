import { type Shape, sizeOf, stridesOf } from "../../../tensor/shape.ts";
import { commonShape } from "./broadcasting.ts";
import { checkShape, type Known, kindOf, maxComputed, realNumbers, wholeNumbers } from "./known.ts";
import type { OnnxNode } from "./onnx-node.ts";
import { cutsOf, resolveShape, squeezedShape, unsqueezedShape } from "./operators/layout.ts";

/**
 * Operators on what is known already: the arithmetic of shapes and indices that exporters write into a file. What has
 * no row here is done by the graph, whose constants are folded later.
 */
type KnownRule = (node: OnnxNode, operands: readonly Known[]) => Known;

function make(kind: Known["kind"], shape: Shape, values: ArrayLike<number>): Known {
  return kind === "int" ? wholeNumbers(shape, values) : realNumbers(shape, values);
}

/** The element of `from` that stands at each place of `shape`, by numpy's broadcasting. */
function repeated({ shape: from, data }: Known, shape: Shape): Float64Array {
  const offset = shape.length - from.length;
  const own = stridesOf(from).map((stride, i) => (from[i] === 1 ? 0 : stride));
  const strides = stridesOf(shape);
  return Float64Array.from({ length: sizeOf(shape) }, (_, at) => {
    let place = 0;
    for (let i = offset; i < shape.length; i++) place += (Math.floor(at / strides[i]!) % shape[i]!) * own[i - offset]!;
    return data[place]!;
  });
}

function elementwise(
  compute: (numbers: readonly number[], kind: Known["kind"]) => number,
  result?: Known["kind"],
): KnownRule {
  return (node, operands) => {
    const shape = commonShape(operands.map((operand) => operand.shape));
    const first = operands.at(-1);
    if (shape === undefined || first === undefined) return node.damaged("the shapes of its operands do not fit");
    checkShape(shape, `the result of ${node.type}`, maxComputed);
    const spread = operands.map((operand) => repeated(operand, shape));
    const values = spread[0]!.map((_, i) =>
      compute(
        spread.map((data) => data[i]!),
        first.kind,
      ),
    );
    return make(result ?? first.kind, shape, values);
  };
}

const folded = (compute: (a: number, b: number) => number): KnownRule =>
  elementwise((numbers) => numbers.slice(1).reduce(compute, numbers[0]!));
const single = (compute: (x: number) => number): KnownRule => elementwise(([x]) => compute(x!));
const truth = (compute: (a: number, b: number) => boolean): KnownRule =>
  elementwise(([a, b]) => Number(compute(a!, b!)), "int");

/** Elements at positions of the operand that `place` gives for each element of the result. */
function picked({ kind, data }: Known, shape: Shape, place: (at: number) => number): Known {
  return make(
    kind,
    shape,
    Float64Array.from({ length: sizeOf(shape) }, (_, at) => data[place(at)]!),
  );
}

const as =
  (shapeOf: (node: OnnxNode, shape: Shape) => number[]): KnownRule =>
  (node, [x]) => ({ ...x!, shape: shapeOf(node, x!.shape) });

export const knownRules: Readonly<Record<string, KnownRule>> = {
  Abs: single(Math.abs),
  Add: folded((a, b) => a + b),
  And: truth((a, b) => a !== 0 && b !== 0),
  Cast: (node, [x]) => {
    const kind =
      kindOf(node.integer("to", 0)) ?? node.refuse(`it changes numbers to ONNX's type ${node.integer("to", 0)}`);
    const isTruth = node.integer("to", 0) === 9;
    if (kind === "float") return make(kind, x!.shape, x!.data);
    return make(
      kind,
      x!.shape,
      Float64Array.from(x!.data, (element) => (isTruth ? Number(element !== 0) : Math.trunc(element))),
    );
  },
  Ceil: single(Math.ceil),
  Concat: (node, operands) => {
    const rank = operands[0]!.shape.length;
    const axis = node.axis(node.integer("axis", 1), rank);
    const outside = (shape: Shape): string => shape.map((dim, i) => (i === axis ? "*" : dim)).join();
    if (operands.some(({ shape }) => outside(shape) !== outside(operands[0]!.shape))) {
      return node.damaged("the shapes of its operands do not fit");
    }
    const total = operands.reduce((sum, { shape }) => sum + shape[axis]!, 0);
    const shape = checkShape(
      operands[0]!.shape.map((dim, i) => (i === axis ? total : dim)),
      "the result of Concat",
      maxComputed,
    );
    const blocks = sizeOf(shape.slice(0, axis));
    const values = new Float64Array(sizeOf(shape));
    let at = 0;
    for (let block = 0; block < blocks; block++) {
      for (const { data } of operands) {
        const length = data.length / blocks;
        values.set(data.subarray(block * length, (block + 1) * length), at);
        at += length;
      }
    }
    return make(operands[0]!.kind, shape, values);
  },
  Div: elementwise(([a, b], kind) => (kind === "int" ? Math.trunc(a! / b!) : a! / b!)),
  Equal: truth((a, b) => a === b),
  Expand: (node, [x]) => {
    const shape = commonShape([x!.shape, node.numbers(1)]) ?? node.damaged("its shape does not fit");
    return make(x!.kind, checkShape(shape, "the result of Expand", maxComputed), repeated(x!, shape));
  },
  Flatten: as((node, shape) => {
    const given = node.integer("axis", 1);
    const axis = given === shape.length ? given : node.axis(given, shape.length);
    return [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis))];
  }),
  Floor: single(Math.floor),
  Gather: (node, [x, places]) => {
    const axis = node.axis(node.integer("axis", 0), x!.shape.length);
    const dim = x!.shape[axis]!;
    const found = node.numbers(1).map((place) => node.axis(place, dim));
    const [before, after] = [x!.shape.slice(0, axis), x!.shape.slice(axis + 1)];
    const shape = checkShape([...before, ...places!.shape, ...after], "the result of Gather", maxComputed);
    const inner = sizeOf(after);
    return picked(x!, shape, (at) => {
      const block = Math.floor(at / (inner * found.length));
      return (block * dim + found[Math.floor(at / inner) % found.length]!) * inner + (at % inner);
    });
  },
  Greater: truth((a, b) => a > b),
  Identity: (_, [x]) => x!,
  Less: truth((a, b) => a < b),
  Max: folded(Math.max),
  Min: folded(Math.min),
  Mul: folded((a, b) => a * b),
  Neg: single((x) => -x),
  Not: single((x) => Number(x === 0)),
  Range: (node, [start, limit, delta]) => {
    const [from, to, step] = [start?.data[0], limit?.data[0], delta?.data[0]];
    if (from === undefined || to === undefined || step === undefined) return node.damaged("it has no bounds");
    const count = Math.max(0, Math.ceil((to - from) / step));
    const shape = checkShape([count], "the result of Range", maxComputed);
    return make(
      start!.kind,
      shape,
      Float64Array.from({ length: count }, (_, i) => from + i * step),
    );
  },
  ReduceProd: (node, [x]) => {
    if ((node.numbersAt(1, "axes") ?? [0]).length !== 1 || x!.shape.length !== 1) return node.refuse("of many axes");
    const kept = node.integer("keepdims", 1) !== 0;
    return make(x!.kind, kept ? [1] : [], [Array.from(x!.data).reduce((a, b) => a * b, 1)]);
  },
  Reshape: as((node, shape) => {
    const wanted = node.numbersAt(1, "shape") ?? node.damaged("it has no shape");
    return resolveShape(node, shape, wanted, node.integer("allowzero", 0) === 0);
  }),
  Slice: (node, [x]) =>
    cutsOf(node, x!.shape).reduce<Known>((whole, { axis, start, end, step }) => {
      const dim = whole.shape[axis]!;
      const first = step === -1 ? dim - 1 : start;
      const count = step === -1 ? dim : Math.max(0, Math.ceil((end - start) / step));
      const shape = whole.shape.map((size, i) => (i === axis ? count : size));
      const inner = sizeOf(whole.shape.slice(axis + 1));
      return picked(whole, shape, (at) => {
        const block = Math.floor(at / (inner * count));
        return (block * dim + first + (Math.floor(at / inner) % count) * step) * inner + (at % inner);
      });
    }, x!),
  Sqrt: single(Math.sqrt),
  Squeeze: as(squeezedShape),
  Sub: folded((a, b) => a - b),
  Transpose: (node, [x]) => {
    const rank = x!.shape.length;
    const perm = (node.integers("perm") ?? x!.shape.map((_, i) => rank - 1 - i)).map((axis) => node.axis(axis, rank));
    if (new Set(perm).size !== rank || perm.length !== rank) return node.damaged(`[${perm}] is no permutation`);
    const shape = perm.map((axis) => x!.shape[axis]!);
    const [from, to] = [stridesOf(x!.shape), stridesOf(shape)];
    return picked(x!, shape, (at) =>
      perm.reduce((place, axis, i) => place + (Math.floor(at / to[i]!) % shape[i]!) * from[axis]!, 0),
    );
  },
  Unsqueeze: as(unsqueezedShape),
  Where: elementwise(([condition, a, b]) => (condition !== 0 ? a! : b!)),
};
