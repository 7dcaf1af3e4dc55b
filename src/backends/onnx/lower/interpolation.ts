/**
 * Weights of bilinear interpolation along one axis with half-pixel centres: output [to] = matrix [to, from] * input.
 * Row-major, `to` rows of `from` columns.
 */
export function interpolationMatrix(from: number, to: number): Float32Array {
  const matrix = new Float32Array(to * from);
  for (let i = 0; i < to; i++) {
    const place = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const low = Math.min(Math.floor(place), from - 1);
    const high = Math.min(low + 1, from - 1);
    const weight = place - low;
    matrix[i * from + low]! += 1 - weight;
    matrix[i * from + high]! += weight;
  }
  return matrix;
}
