import { PipelineError } from "../base/errors.ts";

export interface EigenDecomposition {
  /** Descending. */
  readonly values: readonly number[];
  /** vectors[i] belongs to values[i]: orthonormal, the component of largest magnitude is positive. */
  readonly vectors: readonly (readonly number[])[];
}

/**
 * Eigenvalues and vectors of a small symmetric matrix by cyclic Jacobi rotations (Golub and Van Loan, section 8.5), in
 * float64.
 * @throws INVALID_ARGUMENT when the matrix is not square, not symmetric or not finite
 */
export function symmetricEigen(matrix: readonly (readonly number[])[]): EigenDecomposition {
  const size = matrix.length;
  const a = matrix.map((row) => [...row]);
  const norm = Math.sqrt(a.flat().reduce((sum, value) => sum + value * value, 0));
  const square = a.every((row) => row.length === size);
  const symmetric = a.every((row, i) => row.every((value, j) => Math.abs(value - (a[j]?.[i] ?? 0)) <= 1e-9 * norm));
  if (!square || !Number.isFinite(norm) || !symmetric) {
    throw new PipelineError("INVALID_ARGUMENT", `symmetricEigen: needs a finite symmetric matrix, got ${size} rows`);
  }
  /** Row i is the i-th eigenvector once `a` is diagonal. */
  const v = a.map((row, i) => row.map((_, j) => (i === j ? 1 : 0)));
  const maxSweeps = 60;
  for (let sweep = 0; sweep < maxSweeps; sweep++) {
    let off = 0;
    for (let i = 0; i < size; i++) for (let j = i + 1; j < size; j++) off += a[i]![j]! ** 2;
    if (Math.sqrt(off) <= 1e-15 * norm) break;
    for (let p = 0; p < size; p++) for (let q = p + 1; q < size; q++) rotate(a, v, p, q);
  }
  return sorted(
    a.map((row, i) => row[i]!),
    v,
  );
}

/** One rotation in the plane (p, q) that makes a[p][q] zero. */
function rotate(a: number[][], v: number[][], p: number, q: number): void {
  const apq = a[p]![q]!;
  if (apq === 0) return;
  const theta = (a[q]![q]! - a[p]![p]!) / (2 * apq);
  const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  for (const row of a) {
    const [x, y] = [row[p]!, row[q]!];
    row[p] = c * x - s * y;
    row[q] = s * x + c * y;
  }
  for (const rows of [a, v]) {
    const [rowP, rowQ] = [rows[p]!, rows[q]!];
    for (let k = 0; k < rowP.length; k++) {
      const [x, y] = [rowP[k]!, rowQ[k]!];
      rowP[k] = c * x - s * y;
      rowQ[k] = s * x + c * y;
    }
  }
}

function sorted(values: readonly number[], vectors: readonly (readonly number[])[]): EigenDecomposition {
  const order = values.map((_, i) => i).sort((i, j) => values[j]! - values[i]!);
  return {
    values: order.map((i) => values[i]!),
    vectors: order.map((i) => {
      const vector = vectors[i]!;
      const largest = vector.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
      return largest < 0 ? vector.map((value) => -value) : vector;
    }),
  };
}
