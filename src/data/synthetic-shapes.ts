/** Whether the point (u, v) is inside; the shape fills about the unit disc, u to the right, v downwards. */
type Inside = (u: number, v: number) => boolean;

const inDisc = (u: number, v: number, radius: number) => u * u + v * v < radius * radius;
const inSquare = (u: number, v: number, half: number) => u < half && u > -half && v < half && v > -half;

/** Five-pointed star: alternating outer and inner corners, clockwise from the top. */
const starU = [0, 0.2351, 0.9511, 0.3804, 0.5878, 0, -0.5878, -0.3804, -0.9511, -0.2351];
const starV = [-1, -0.3236, -0.309, 0.1236, 0.809, 0.4, 0.809, 0.1236, -0.309, -0.3236];

/** Even-odd rule. */
function inPolygon(u: number, v: number, cornersU: readonly number[], cornersV: readonly number[]): boolean {
  let inside = false;
  for (let i = 0, before = cornersU.length - 1; i < cornersU.length; before = i++) {
    const v0 = cornersV[before]!;
    const v1 = cornersV[i]!;
    if (v1 > v === v0 > v) continue;
    const u1 = cornersU[i]!;
    if (u < ((cornersU[before]! - u1) * (v - v1)) / (v0 - v1) + u1) inside = !inside;
  }
  return inside;
}

/** The classes of the generated data set, in the order of their indices. */
export const shapes = {
  circle: (u, v) => inDisc(u, v, 0.95),
  square: (u, v) => inSquare(u, v, 0.82),
  triangle: (u, v) => v < 0.75 && v > -1 && Math.abs(u) < 0.55 * (v + 1),
  cross: (u, v) => inSquare(u, v, 1) && (Math.abs(u) < 0.3 || Math.abs(v) < 0.3),
  ring: (u, v) => inDisc(u, v, 1) && !inDisc(u, v, 0.6),
  frame: (u, v) => inSquare(u, v, 0.88) && !inSquare(u, v, 0.52),
  stripes: (u, v) => inSquare(u, v, 0.95) && Math.abs(Math.floor((v + 1) * 2.5)) % 2 === 0,
  checker: (u, v) => inSquare(u, v, 0.95) && (Math.floor((u + 1) * 2) + Math.floor((v + 1) * 2)) % 2 === 0,
  star: (u, v) => inPolygon(u, v, starU, starV),
  crescent: (u, v) => inDisc(u, v, 1) && !inDisc(u - 0.45, v - 0.1, 0.8),
} as const satisfies Readonly<Record<string, Inside>>;

export type ShapeName = keyof typeof shapes;

export const shapeNames = Object.keys(shapes) as readonly ShapeName[];
