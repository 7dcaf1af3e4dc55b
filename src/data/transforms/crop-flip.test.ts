import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRng } from "../../base/rng.ts";
import type { GeometricAugmentation } from "./augmentation.ts";
import { composeGeometric } from "./compose.ts";
import { cropFlip, type FlipMode } from "./crop-flip.ts";

const indices = Int32Array.from({ length: 200 }, (_, i) => i * 3);
const context = (epoch: number, seed = 1) => ({ epoch, indices, rng: createRng(seed) });

/** Input pixel of an output pixel, as grid_sample with align_corners=True computes it. */
function inputPixel(theta: Float32Array, i: number, x: number, y: number, height: number, width: number) {
  const nx = (2 * x) / (width - 1) - 1;
  const ny = (2 * y) / (height - 1) - 1;
  const t = theta.subarray(6 * i, 6 * i + 6);
  return [
    ((t[0]! * nx + t[1]! * ny + t[2]! + 1) / 2) * (width - 1),
    ((t[3]! * nx + t[4]! * ny + t[5]! + 1) / 2) * (height - 1),
  ] as const;
}

describe("cropFlip", () => {
  it("shifts by whole pixels within the pad and mirrors, for any size", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 8, max: 96 }),
        fc.integer({ min: 8, max: 96 }),
        fc.integer({ min: 0, max: 7 }),
        fc.constantFrom<FlipMode>("none", "random", "alternating"),
        fc.nat(),
        (height, width, pad, flip, seed) => {
          const theta = cropFlip({ height, width, pad, flip }).theta(context(0, seed));
          for (let i = 0; i < 20; i++) {
            const mirrored = theta[6 * i] === -1;
            const [x0, y0] = inputPixel(theta, i, 0, 0, height, width);
            const dx = Math.round(mirrored ? x0 - (width - 1) : x0);
            const dy = Math.round(y0);
            expect(Math.abs(dx)).toBeLessThanOrEqual(pad);
            expect(Math.abs(dy)).toBeLessThanOrEqual(pad);
            for (const [x, y] of [
              [0, 0],
              [width - 1, 3],
              [5, height - 1],
            ] as const) {
              const [px, py] = inputPixel(theta, i, x, y, height, width);
              expect(px).toBeCloseTo((mirrored ? width - 1 - x : x) + dx, 3);
              expect(py).toBeCloseTo(y + dy, 3);
            }
          }
        },
      ),
    );
  });

  it("uses every shift of the pad", () => {
    const theta = cropFlip({ height: 32, width: 32, pad: 2, flip: "none" }).theta(context(0));
    const shifts = new Set(Array.from(indices, (_, i) => Math.round((theta[6 * i + 2]! * 31) / 2)));
    expect([...shifts].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
  });

  const flips = (augmentation: GeometricAugmentation, epoch: number, seed = 1) =>
    Array.from(indices, (_, i) => augmentation.theta(context(epoch, seed))[6 * i] === -1);

  it("alternating: about half at first, whatever the stream, then every image the other way each epoch", () => {
    const augmentation = cropFlip({ height: 32, width: 32, flip: "alternating" });
    const first = flips(augmentation, 0);
    const share = first.filter(Boolean).length / first.length;
    expect(share).toBeGreaterThan(0.35);
    expect(share).toBeLessThan(0.65);
    expect(flips(augmentation, 0, 99)).toEqual(first);
    expect(flips(augmentation, 1)).toEqual(first.map((flip) => !flip));
    expect(flips(augmentation, 2)).toEqual(first);
    expect(flips(cropFlip({ height: 32, width: 32, flip: "alternating", seed: 5 }), 0)).not.toEqual(first);
  });

  it("random: about half, from the stream; none: never", () => {
    const share = flips(cropFlip({ height: 32, width: 32, flip: "random" }), 0).filter(Boolean).length / indices.length;
    expect(share).toBeGreaterThan(0.35);
    expect(share).toBeLessThan(0.65);
    expect(flips(cropFlip({ height: 32, width: 32, flip: "none" }), 0)).not.toContain(true);
  });

  it("the same context gives the same parameters", () => {
    const augmentation = cropFlip({ height: 32, width: 32, flip: "random", pad: 4 });
    expect(augmentation.theta(context(3))).toEqual(augmentation.theta(context(3)));
  });

  it.each([-1, 1.5, 8])("refuses the pad %s for 8 pixels", (pad) => {
    expect(() => cropFlip({ height: 8, width: 8, pad })).toThrow(/cannot shift/);
  });
});

describe("composeGeometric", () => {
  const fixed = (...theta: number[]): GeometricAugmentation => ({
    theta: (c) => Float32Array.from({ length: 6 * c.indices.length }, (_, i) => theta[i % 6]!),
  });

  it("applies the augmentations in order", () => {
    // First shift right by .5 (input x = x - .5), then mirror: input x = -x - .5.
    const shift = fixed(1, 0, -0.5, 0, 1, 0);
    const mirror = fixed(-1, 0, 0, 0, 1, 0);
    const at = (list: GeometricAugmentation[]) => [...composeGeometric(list).theta(context(0)).subarray(0, 6)];
    expect(at([shift, mirror])).toEqual([-1, 0, -0.5, 0, 1, 0]);
    expect(at([mirror, shift])).toEqual([-1, 0, 0.5, 0, 1, 0]);
    expect(at([])).toEqual([1, 0, 0, 0, 1, 0]);
  });
});
