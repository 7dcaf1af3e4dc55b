import { broadcastTo, constant, reshape } from "../../../graph/build.ts";
import { isOp, type Value } from "../../../graph/value.ts";
import type { Shape } from "../../../tensor/shape.ts";

/** The shape to which numpy broadcasts all of these; undefined where they don't fit together. */
export function commonShape(shapes: readonly Shape[]): number[] | undefined {
  const rank = Math.max(...shapes.map(({ length }) => length));
  const common = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (const [i, dim] of shape.entries()) {
      const axis = rank - shape.length + i;
      if (dim === common[axis] || dim === 1) continue;
      if (common[axis] !== 1) return undefined;
      common[axis] = dim;
    }
  }
  return common;
}

/** A reshape; a constant stays one. */
export function shaped(x: Value, shape: Shape): Value {
  return isOp(x, "constant") ? constant({ ...x.attrs.tensor, shape }) : reshape(x, shape);
}

/** `x` repeated to `shape`, to which it must fit by numpy's rules: dimensions of one element are repeated. */
export function spreadTo(x: Value, shape: Shape): Value {
  const offset = shape.length - x.shape.length;
  const axes = x.shape.flatMap((dim, i) => (dim === shape[offset + i] ? [offset + i] : []));
  const kept = axes.map((axis) => shape[axis]!);
  return broadcastTo(shaped(x, kept), shape, axes);
}
