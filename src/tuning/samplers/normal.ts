/** The standard normal distribution, and what of it lies in an interval. */

const sqrtHalf = Math.SQRT1_2;
const logSqrt2Pi = 0.5 * Math.log(2 * Math.PI);

/** log of a sum of exponentials. */
export function logSumExp(values: Float64Array): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of values) largest = Math.max(largest, value);
  if (largest === Number.NEGATIVE_INFINITY) return largest;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - largest);
  return largest + Math.log(sum);
}

export function logDensity(z: number): number {
  return -0.5 * z * z - logSqrt2Pi;
}

/** Complementary error function for x >= 0: continued fraction far out, series near 0; relative error below 1e-13. */
function erfc(x: number): number {
  if (x < 2) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum;
  }
  // The tail is shorter the farther out.
  const terms = x < 3 ? 60 : x < 5 ? 30 : 16;
  let fraction = 0;
  for (let n = terms; n > 0; n--) fraction = n / 2 / (x + fraction);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}

/** Probability below z. */
export function cumulative(z: number): number {
  return z < 0 ? 0.5 * erfc(-z * sqrtHalf) : 1 - 0.5 * erfc(z * sqrtHalf);
}

/** Probability between two points, exact also far out in either tail. */
export function mass(low: number, high: number): number {
  if (low > 0) return mass(-high, -low);
  return cumulative(high) - cumulative(low);
}

/** The point between low and high below which the share u of the mass between them lies. */
export function truncatedQuantile(u: number, low: number, high: number): number {
  if (low > 0) return -truncatedQuantile(1 - u, -high, -low);
  const below = cumulative(low);
  const target = below + u * (cumulative(high) - below);
  let [left, right] = [low, high];
  // Bisection: the function is monotone, and 48 halvings reach far below what tells two trials apart.
  for (let i = 0; i < 48; i++) {
    const middle = 0.5 * (left + right);
    if (cumulative(middle) < target) left = middle;
    else right = middle;
  }
  return 0.5 * (left + right);
}
