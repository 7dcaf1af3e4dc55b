import { createRng, type Rng } from "../base/rng.ts";
import type { ImageDataset, ImageSplit } from "./dataset.ts";
import { digestOf } from "./digest.ts";
import { allocateSplit } from "./image-memory.ts";
import { type ShapeName, shapeNames, shapes } from "./synthetic-shapes.ts";

export interface SyntheticOptions {
  /** Training images; default 5,000. */
  readonly trainCount?: number | undefined;
  /** Test images; default 1,000. */
  readonly testCount?: number | undefined;
  readonly seed?: number;
}

/** Height and width, as CIFAR's. */
const side = 32;
const plane = side * side;
/** Samples per pixel and axis, against jagged edges. */
const samples = 2;

/**
 * Drawn images of ten classes with random colours, positions, sizes, tilts, a background gradient and noise. The same
 * bytes on every machine: only operations that IEEE 754 defines exactly are used (no sine, logarithm or power).
 */
export function createSyntheticDataset(options: SyntheticOptions = {}): ImageDataset {
  const { trainCount = 5000, testCount = 1000, seed = 0 } = options;
  const rng = createRng(seed).split("synthetic");
  const train = drawSplit(trainCount, rng.split("train"));
  const test = drawSplit(testCount, rng.split("test"));
  return {
    name: "synthetic",
    synthetic: true,
    origin: "generated",
    classes: [...shapeNames],
    height: side,
    width: side,
    digest: digestOf({ train, test }),
    train,
    test,
  };
}

/** Classes are as even as the count allows, in random order. */
function drawSplit(count: number, rng: Rng): ImageSplit {
  const split = allocateSplit(count, side, side);
  const order = rng.split("order").permutation(count);
  const pixels = rng.split("pixels");
  for (let i = 0; i < count; i++) {
    const label = order[i]! % shapeNames.length;
    split.labels[i] = label;
    drawImage(split.images.subarray(i * 3 * plane, (i + 1) * 3 * plane), shapeNames[label]!, pixels);
  }
  return split;
}

function drawImage(image: Uint8Array, name: ShapeName, rng: Rng): void {
  const [background, foreground] = contrastingColours(rng);
  const slopesX = new Float64Array(3);
  const slopesY = new Float64Array(3);
  for (let channel = 0; channel < 3; channel++) {
    slopesX[channel] = between(rng, -1, 1);
    slopesY[channel] = between(rng, -1, 1);
  }
  const noise = between(rng, 10, 40);
  const coverage = drawShape(name, rng);
  for (let y = 0, pixel = 0; y < side; y++) {
    for (let x = 0; x < side; x++, pixel++) {
      const random = rng.uint32();
      for (let channel = 0; channel < 3; channel++) {
        const ground = background[channel]! + slopesX[channel]! * (x - side / 2) + slopesY[channel]! * (y - side / 2);
        const value = ground + (foreground[channel]! - ground) * coverage[pixel]!;
        const grain = (((random >>> (8 * channel)) & 255) / 127.5 - 1) * noise;
        image[channel * plane + pixel] = Math.min(255, Math.max(0, Math.floor(value + grain + 0.5)));
      }
    }
  }
}

/** The share of each pixel that a shape of random place, size and tilt covers. */
function drawShape(name: ShapeName, rng: Rng): Float64Array {
  const radius = between(rng, 6.5, 13.5);
  const room = 17 - radius;
  const centreX = side / 2 + between(rng, -room, room);
  const centreY = side / 2 + between(rng, -room, room);
  // A rotation by 2 atan(t), up to 28 degrees either way, as exact fractions.
  const t = between(rng, -0.25, 0.25);
  const cos = (1 - t * t) / (1 + t * t) / radius;
  const sin = (2 * t) / (1 + t * t) / radius;
  const inside = shapes[name];
  const reach = 2 * radius * radius;

  const coverage = new Float64Array(plane);
  for (let row = 0; row < side * samples; row++) {
    const dy = (row + 0.5) / samples - centreY;
    for (let column = 0; column < side * samples; column++) {
      const dx = (column + 0.5) / samples - centreX;
      if (dx * dx + dy * dy > reach) continue;
      if (!inside(cos * dx + sin * dy, cos * dy - sin * dx)) continue;
      const pixel = Math.floor(row / samples) * side + Math.floor(column / samples);
      coverage[pixel] = coverage[pixel]! + 1 / (samples * samples);
    }
  }
  return coverage;
}

/** Two colours whose channels differ by at least 150 in all. */
function contrastingColours(rng: Rng): readonly [readonly number[], readonly number[]] {
  const colour = () => [0, 1, 2].map(() => 24 + rng.int(208));
  const first = colour();
  for (;;) {
    const second = colour();
    const distance = second.reduce((sum, value, channel) => sum + Math.abs(value - first[channel]!), 0);
    if (distance >= 150) return [first, second];
  }
}

function between(rng: Rng, low: number, high: number): number {
  return low + (high - low) * rng.uniform();
}
