/** 32-bit mixes of seed and index (splitmix32's finaliser), as `hashed` in scripts/goldens/resnet9.py. */
export function hashedNumbers(seed: number, count: number): Uint32Array {
  const start = Math.imul(seed, 0x9e3779b9);
  const numbers = new Uint32Array(count);
  for (let index = 0; index < count; index++) {
    let z = (index + start) | 0;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    numbers[index] = z ^ (z >>> 15);
  }
  return numbers;
}
