/** Ascending copy. */
export function sorted(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values).sort();
}

/** Largest difference of two empirical distribution functions (Kolmogorov-Smirnov), of samples in ascending order. */
export function ksDistance(a: Float64Array, b: Float64Array): number {
  let i = 0;
  let j = 0;
  let largest = 0;
  while (i < a.length && j < b.length) {
    const value = Math.min(a[i]!, b[j]!);
    while (i < a.length && a[i]! <= value) i++;
    while (j < b.length && b[j]! <= value) j++;
    largest = Math.max(largest, Math.abs(i / a.length - j / b.length));
  }
  return largest;
}

/** Probability of a distance at least so large when both samples come from one distribution: Kolmogorov's series with
 * Stephens' correction for finite samples (Stephens 1970). Ties make it larger than true, never smaller. */
export function ksPValue(distance: number, n: number, m: number): number {
  const root = Math.sqrt((n * m) / (n + m));
  const lambda = (root + 0.12 + 0.11 / root) * distance;
  // The series converges badly where the answer is 1 to all digits.
  if (lambda < 0.2) return 1;
  let sum = 0;
  for (let k = 1; k <= 100; k++) {
    const term = Math.exp(-2 * k * k * lambda * lambda);
    sum += k % 2 === 1 ? term : -term;
    if (term < 1e-17) break;
  }
  return Math.min(1, Math.max(0, 2 * sum));
}

/**
 * Population stability index of two histograms over the same bins: the sum of (p - q) ln(p / q). Empty bins count as
 * half an observation, so that the index stays finite.
 */
export function populationStability(expected: ArrayLike<number>, observed: ArrayLike<number>): number {
  const shares = (counts: ArrayLike<number>): number[] => {
    const filled = Array.from(counts, (count) => Math.max(count, 0.5));
    const total = filled.reduce((sum, count) => sum + count, 0);
    return filled.map((count) => count / total);
  };
  const q = shares(expected);
  return shares(observed).reduce((sum, p, i) => sum + (p - q[i]!) * Math.log(p / q[i]!), 0);
}
