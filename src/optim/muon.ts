import {
  add,
  matmul,
  mul,
  reciprocal,
  reshape,
  scale,
  scaleBy,
  shift,
  sqrt,
  sub,
  sumAll,
  transpose,
} from "../graph/build.ts";
import type { Value } from "../graph/value.ts";
import { sizeOf } from "../tensor/shape.ts";
import { momentumParts, type Optimizer, type ParameterGroup, updateEach } from "./optimizer.ts";

export interface MuonOptions {
  /** Convolution filters; their weight decay must be 0: the norm is reset instead. */
  readonly groups: readonly ParameterGroup[];
  readonly momentum?: number;
  readonly newtonSchulzSteps?: number;
}

/**
 * Muon for convolution filters (Jordan 2024, airbench94_muon): Nesterov momentum, the step [O, I * k * k] replaced by
 * its nearest orthogonal matrix, roughly, and the filter bank scaled to norm sqrt(O) before each step.
 */
export function muon({ groups, momentum = 0.6, newtonSchulzSteps = 3 }: MuonOptions): Optimizer {
  const { shared, slotOf, momentumName, rateName } = momentumParts("muon", groups, momentum);
  return {
    ...shared,
    update: (inputs) =>
      updateEach(
        groups,
        inputs,
        (name) => [slotOf(name)],
        ({ group, parameter: p, gradient: g, slots: [v] }) => {
          const momentumNow = inputs.scalars[momentumName]!;
          const nextV = add(scaleBy(v!, momentumNow), g);
          const u = orthogonalised(add(scaleBy(nextV, momentumNow), g), newtonSchulzSteps);
          const reset = scaleBy(p, scale(reciprocal(norm(p)), Math.sqrt(p.shape[0]!)));
          return [sub(reset, scaleBy(u, inputs.scalars[rateName(group)]!)), nextV];
        },
      ),
  };
}

const norm = (x: Value): Value => sqrt(sumAll(mul(x, x)));

/** Updates are computed whole in mixed precision too. */
const whole = { precision: "float32" } as const;

/**
 * Quintic Newton-Schulz iteration X <- a X + (b A + c A^2) X with A = X X^T: drives the singular values of the matrix
 * [O, rest] towards 1 (0.5 to 1.5), so that the result is about U V^T.
 */
function orthogonalised(g: Value, steps: number): Value {
  const [a, b, c] = [3.4445, -4.775, 2.0315];
  const rows = g.shape[0]!;
  const columns = sizeOf(g.shape) / rows;
  const tall = rows > columns;
  const matrix = reshape(g, [rows, columns]);
  const unit = scaleBy(matrix, reciprocal(shift(norm(matrix), 1e-7)));
  let x = tall ? transpose(unit, [1, 0]) : unit;
  for (let i = 0; i < steps; i++) {
    const gram = matmul(x, x, { ...whole, transB: true });
    const mix = add(scale(gram, b), scale(matmul(gram, gram, whole), c));
    x = add(scale(x, a), matmul(mix, x, whole));
  }
  return reshape(tall ? transpose(x, [1, 0]) : x, g.shape);
}
