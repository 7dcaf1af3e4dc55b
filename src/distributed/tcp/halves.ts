/** float16 numbers under a common power of two, which keeps small and large ones alike from getting lost. */

/** The largest number lies between 2^14 and 2^15: its double still fits. */
const topExponent = 14;

const asFloat = new Float32Array(1);
const asBits = new Uint32Array(asFloat.buffer);
let decoded: Float32Array | undefined;

/**
 * Rounds numbers to halves, ties to even, after a multiplication by 2^exponent. What is no number stays none.
 * @param lost gets what each number loses: value minus half
 * @returns the exponent
 */
export function toHalves(values: Float32Array, halves: Uint16Array, lost: Float32Array): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    if (size > largest && size < Number.POSITIVE_INFINITY) largest = size;
  }
  const exponent = largest === 0 ? 0 : topExponent - Math.floor(Math.log2(largest));
  const factor = 2 ** exponent;
  const table = decodingTable();
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    const half = toHalf(value * factor);
    halves[i] = half;
    const loss = value - table[half]! / factor;
    lost[i] = Number.isFinite(loss) ? loss : 0;
  }
  return exponent;
}

/** The inverse of `toHalves`. */
export function fromHalves(halves: Uint16Array, exponent: number, values: Float32Array): void {
  const table = decodingTable();
  const factor = 2 ** -exponent;
  for (let i = 0; i < halves.length; i++) values[i] = table[halves[i]!]! * factor;
}

function toHalf(value: number): number {
  asFloat[0] = value;
  const bits = asBits[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size >= 0x47800000) return sign | (size > 0x7f800000 ? 0x7e00 : 0x7c00);
  // Rounds by adding a bit less than half a unit, or half where the last place is odd.
  if (size >= 0x38800000) return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
  // Below 2^-14 halves are multiples of 2^-24, as floats between 1/2 and 1 are.
  asFloat[0] = Math.abs(value) + 0.5;
  return sign | (asBits[0]! - 0x3f000000);
}

/** The number that each of the 65,536 halves stands for. */
function decodingTable(): Float32Array {
  decoded ??= Float32Array.from({ length: 65_536 }, (_, half) => {
    const sign = half >= 0x8000 ? -1 : 1;
    const exponent = (half >>> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
  });
  return decoded;
}
