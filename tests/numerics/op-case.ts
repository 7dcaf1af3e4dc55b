import { createRng, type Rng } from "../../src/base/rng.ts";
import { input } from "../../src/graph/build.ts";
import type { Value } from "../../src/graph/value.ts";
import { type Shape, sizeOf } from "../../src/tensor/shape.ts";
import { floats, type Named, type Tensor, tensor } from "../../src/tensor/tensor.ts";

/** One input of a case: its shape and how its elements are drawn. */
export interface CaseInput {
  readonly dtype: "float32" | "int32";
  readonly shape: Shape;
  readonly draw: (rng: Rng, size: number) => ArrayLike<number>;
}

/** A named computation with seeded inputs, kept away from the points where its derivative jumps. */
export interface OpCase {
  readonly title: string;
  readonly inputs: Named<CaseInput>;
  readonly build: (inputs: Named<Value>) => Value;
  /** Inputs to differentiate by; all float inputs by default, none for operations without a rule. */
  readonly wrt?: readonly string[];
  /** A 3x3 stride 1 convolution, which a backend may compute by Winograd's method, in rounder numbers. */
  readonly winograd?: true;
}

const float = (shape: Shape, draw: (rng: Rng) => number): CaseInput => ({
  dtype: "float32",
  shape,
  draw: (rng, size) => Float32Array.from({ length: size }, () => draw(rng)),
});

export const normal = (...shape: number[]): CaseInput => float(shape, (rng) => rng.normal());
export const uniform = (low: number, high: number, ...shape: number[]): CaseInput =>
  float(shape, (rng) => low + (high - low) * rng.uniform());
/** Standard normal numbers, none within 0.05 of a kink. */
export const awayFrom = (kinks: readonly number[], spread: number, ...shape: number[]): CaseInput =>
  float(shape, (rng) => {
    for (;;) {
      const x = spread * rng.normal();
      if (kinks.every((kink) => Math.abs(x - kink) > 0.05)) return x;
    }
  });
/** Distinct multiples of 1/16 in random order: no ties, and no two closer than a finite difference. */
export const distinct = (...shape: number[]): CaseInput => ({
  dtype: "float32",
  shape,
  draw: (rng, size) => Float32Array.from(rng.permutation(size), (rank) => (rank - size / 2) / 16),
});
/** A few whole numbers, so that many are equal. */
export const levels = (count: number, ...shape: number[]): CaseInput => float(shape, (rng) => rng.int(count));
export const labels = (classes: number, ...shape: number[]): CaseInput => ({
  dtype: "int32",
  shape,
  draw: (rng, size) => Int32Array.from({ length: size }, () => rng.int(classes)),
});
export const fixed = (shape: Shape, values: readonly number[]): CaseInput => ({
  dtype: "float32",
  shape,
  draw: () => Float32Array.from(values),
});

export interface PreparedCase {
  readonly inputs: Named<Value<"input">>;
  readonly feeds: Named<Tensor>;
  readonly result: Value;
  readonly wrt: readonly string[];
}

/** Draws the inputs of a case and builds its value; the same case always gives the same numbers. */
export function prepare(opCase: OpCase): PreparedCase {
  const rng = createRng(`case/${opCase.title}`);
  const entries = Object.entries(opCase.inputs);
  const inputs = Object.fromEntries(entries.map(([name, { dtype, shape }]) => [name, input(name, dtype, shape)]));
  const feeds = Object.fromEntries(entries.map(([name, spec]) => [name, drawTensor(spec, rng.split(name))]));
  const wrt = opCase.wrt ?? entries.filter(([, { dtype }]) => dtype === "float32").map(([name]) => name);
  return { inputs, feeds, result: opCase.build(inputs), wrt };
}

function drawTensor({ dtype, shape, draw }: CaseInput, rng: Rng): Tensor {
  const values = draw(rng, sizeOf(shape));
  return dtype === "int32" ? tensor("int32", shape, Int32Array.from(values)) : floats(shape, values);
}
