import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRng } from "../../base/rng.ts";
import type { ImageAugmentation } from "./augmentation.ts";
import { type FlipMode, mirror, padCrop, resizedCrop } from "./crop-flip.ts";
import { move, unchanged } from "./image-change.ts";

const count = 200;

/** Theta of some images in one epoch, all augmentations in order. */
function thetas(list: readonly ImageAugmentation[], { epoch = 0, seed = 1 } = {}): Float64Array[] {
  return Array.from({ length: count }, (_, i) => {
    const change = unchanged();
    const index = 3 * i;
    const image = { rng: createRng(seed).split(epoch).split(index), epoch, index, pixels: new Uint8Array() };
    for (const each of list) each.apply(change, image);
    return change.theta;
  });
}

/** Input pixel of an output pixel, as grid_sample with align_corners=False computes it. */
function inputPixel(theta: Float64Array, x: number, y: number, height: number, width: number) {
  const [nx, ny] = [(2 * x + 1) / width - 1, (2 * y + 1) / height - 1];
  return [
    ((theta[0]! * nx + theta[1]! * ny + theta[2]! + 1) * width - 1) / 2,
    ((theta[3]! * nx + theta[4]! * ny + theta[5]! + 1) * height - 1) / 2,
  ] as const;
}

describe("padCrop and mirror", () => {
  it("shift by whole pixels within the pad and mirror, for any size", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 8, max: 96 }),
        fc.integer({ min: 8, max: 96 }),
        fc.integer({ min: 0, max: 7 }),
        fc.constantFrom<Exclude<FlipMode, "none">>("random", "alternating"),
        fc.nat(),
        (height, width, pad, flip, seed) => {
          const drawn = thetas([padCrop(pad, { height, width }), mirror(flip)], { seed });
          for (const theta of drawn.slice(0, 20)) {
            const mirrored = theta[0] === -1;
            const [x0, y0] = inputPixel(theta, 0, 0, height, width);
            const dx = Math.round(mirrored ? x0 - (width - 1) : x0);
            const dy = Math.round(y0);
            expect(Math.abs(dx)).toBeLessThanOrEqual(pad);
            expect(Math.abs(dy)).toBeLessThanOrEqual(pad);
            for (const [x, y] of [
              [0, 0],
              [width - 1, 3],
              [5, height - 1],
            ] as const) {
              const [px, py] = inputPixel(theta, x, y, height, width);
              expect(px).toBeCloseTo((mirrored ? width - 1 - x : x) + dx, 9);
              expect(py).toBeCloseTo(y + dy, 9);
            }
          }
        },
      ),
    );
  });

  it("uses every shift of the pad", () => {
    const shifts = new Set(
      thetas([padCrop(2, { height: 32, width: 32 })]).map((theta) => Math.round((theta[2]! * 32) / 2)),
    );
    expect([...shifts].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
  });

  const flips = (augmentation: ImageAugmentation, epoch: number, seed = 1) =>
    thetas([augmentation], { epoch, seed }).map((theta) => theta[0] === -1);

  it("alternating: about half at first, whatever the stream, then every image the other way each epoch", () => {
    const augmentation = mirror("alternating");
    const first = flips(augmentation, 0);
    const share = first.filter(Boolean).length / count;
    expect(share).toBeGreaterThan(0.35);
    expect(share).toBeLessThan(0.65);
    expect(flips(augmentation, 0, 99)).toEqual(first);
    expect(flips(augmentation, 1)).toEqual(first.map((flip) => !flip));
    expect(flips(augmentation, 2)).toEqual(first);
    expect(flips(mirror("alternating", 5), 0)).not.toEqual(first);
  });

  it("random: about half, from the stream", () => {
    const share = flips(mirror("random"), 0).filter(Boolean).length / count;
    expect(share).toBeGreaterThan(0.35);
    expect(share).toBeLessThan(0.65);
    expect(flips(mirror("random"), 1)).not.toEqual(flips(mirror("random"), 0));
  });

  it.each([-1, 1.5, 8])("refuses the pad %s for 8 pixels", (pad) => {
    expect(() => padCrop(pad, { height: 8, width: 8 })).toThrow(/cannot shift/);
  });
});

describe("resizedCrop", () => {
  it("keeps a part inside the image, of an area and ratio in their ranges", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 8, max: 64 }),
        fc.integer({ min: 8, max: 64 }),
        fc.double({ min: 0.05, max: 0.6, noNaN: true }),
        fc.nat(),
        (height, width, low, seed) => {
          const scale = [low, low + 0.3] as const;
          const drawn = thetas([resizedCrop({ scale, ratio: [0.75, 4 / 3], size: { height, width } })], { seed });
          for (const [w, , x, , h, y] of drawn.map((theta) => [...theta] as number[])) {
            expect(w! + Math.abs(x!)).toBeLessThanOrEqual(1 + 1e-9);
            expect(h! + Math.abs(y!)).toBeLessThanOrEqual(1 + 1e-9);
            const aspect = (w! * width) / (h! * height);
            expect(aspect).toBeGreaterThan(0.75 - 1e-9);
            expect(aspect).toBeLessThan(4 / 3 + 1e-9);
            // Where no draw fits, the largest central part.
            if (x === 0 && y === 0) continue;
            expect(w! * h!).toBeGreaterThan(scale[0] - 1e-9);
            expect(w! * h!).toBeLessThan(scale[1] + 1e-9);
          }
        },
      ),
    );
  });
});

describe("move", () => {
  const moved = (...list: Parameters<typeof move>[1][]) => {
    const change = unchanged();
    for (const each of list) move(change, each);
    return [...change.theta];
  };
  const shift = [1, 0, -0.5, 0, 1, 0] as const;
  const flip = [-1, 0, 0, 0, 1, 0] as const;

  it("puts each move behind those before it", () => {
    // First shift right by .5 (input x = x - .5), then mirror: input x = -x - .5.
    expect(moved(shift, flip)).toEqual([-1, 0, -0.5, 0, 1, 0]);
    expect(moved(flip, shift)).toEqual([-1, 0, 0.5, 0, 1, 0]);
    expect(moved()).toEqual([1, 0, 0, 0, 1, 0]);
  });
});
