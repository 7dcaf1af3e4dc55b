import { describe, expect, test } from "vitest";
import { createOnnxExecutor } from "../../src/backends/onnx/executor.ts";
import { createRng } from "../../src/base/rng.ts";
import { rotate, shear, translate } from "../../src/data/transforms/affine.ts";
import type { ImageAugmentation, ImageNeed } from "../../src/data/transforms/augmentation.ts";
import { batchAugmentation } from "../../src/data/transforms/batch-augmentation.ts";
import { brighten, contrast, saturate, shiftHue } from "../../src/data/transforms/color-map.ts";
import { autoContrast, equalize, gamma, posterize, solarize } from "../../src/data/transforms/curves.ts";
import { type ImageChange, move } from "../../src/data/transforms/image-change.ts";
import { gaussianBlur, sharpen } from "../../src/data/transforms/kernels.ts";
import { floatData } from "../../src/tensor/tensor.ts";
import { augmentedImages } from "../../src/training/augmented-images.ts";
import { type GoldenArray, openGolden } from "./golden-file.ts";

interface Case {
  readonly name: string;
  readonly parameters: Readonly<Record<string, number>>;
  readonly output: GoldenArray;
}

interface Way {
  readonly need: ImageNeed;
  /** Largest difference on the scale 0..255. */
  readonly tolerance: number;
  /** Pixels at each edge where the two differ by design. */
  readonly edge?: number;
  apply(change: ImageChange, parameters: Readonly<Record<string, number>>, pixels: Uint8Array): void;
}

const golden = openGolden<{ readonly image: GoldenArray; readonly cases: readonly Case[] }>("augmentation");
const [, height, width] = golden.index.image.shape as [number, number, number];
const size = { height, width };
const pixels = Uint8Array.from(golden.read(golden.index.image).data);
const tangent = (degrees: number): number => Math.tan((degrees * Math.PI) / 180);
const recolored = (change: ImageChange, color: ImageChange["color"]): void => {
  change.color = color;
};

/** How each golden is made here. Black lies beyond the image on both sides. */
const ways: Readonly<Record<string, Way>> = {
  rotate: { need: "turn", tolerance: 0.1, edge: 5, apply: (c, p) => rotate(c, size, p.degrees!) },
  scale: {
    ...{ need: "turn", tolerance: 0.1, edge: 4 },
    apply: (c, p) => move(c, [1 / p.factor!, 0, 0, 0, 1 / p.factor!, 0]),
  },
  shear: {
    ...{ need: "turn", tolerance: 0.1, edge: 4 },
    apply: (c, p) => shear(c, size, { x: tangent(p.x!), y: tangent(p.y!) }),
  },
  translate: { need: "shift", tolerance: 0.01, apply: (c, p) => translate(c, p.x! / width, p.y! / height) },
  // torchvision repeats the crop's own edge where we see what lies beyond it.
  resizedCrop: {
    ...{ need: "zoom", tolerance: 0.1, edge: 3 },
    apply: (c, p) =>
      move(c, [
        ...([p.width! / width, 0, (2 * p.left! + p.width!) / width - 1] as const),
        ...([0, p.height! / height, (2 * p.top! + p.height!) / height - 1] as const),
      ]),
  },
  brightness: { need: "color", tolerance: 0.02, apply: (c, p) => recolored(c, brighten(c.color, p.factor!)) },
  contrast: { need: "color", tolerance: 0.05, apply: (c, p) => recolored(c, contrast(c.color, p.factor!)) },
  saturation: { need: "color", tolerance: 0.05, apply: (c, p) => recolored(c, saturate(c.color, p.factor!)) },
  gamma: { need: "curves", tolerance: 0.02, apply: (c, p) => gamma(c, p.exponent!) },
  // PIL leaves the outermost pixels as they are.
  sharpness: { need: "kernel", tolerance: 0.5, edge: 1, apply: (c, p) => sharpen(c, p.factor!) },
  // torchvision pads by mirroring, we repeat the edge.
  gaussianBlur: { need: "kernel", tolerance: 0.05, edge: 3, apply: (c, p) => gaussianBlur(c, p.sigma!) },
  posterize: { need: "curves", tolerance: 0.01, apply: (c, p) => posterize(c, p.bits!) },
  solarize: { need: "curves", tolerance: 0.01, apply: (c, p) => solarize(c, p.threshold!) },
  equalize: { need: "curves", tolerance: 0.01, apply: (c, _, image) => equalize(c, image) },
  autoContrast: { need: "curves", tolerance: 0.02, apply: (c, _, image) => autoContrast(c, image) },
  erase: {
    ...{ need: "shift", tolerance: 0.01 },
    apply: (c, { top, left, height: h, width: w }) =>
      void c.holes.push({
        rows: [[top! / height, (top! + h!) / height]],
        columns: [[left! / width, (left! + w!) / width]],
      }),
  },
};

async function differences({ name, parameters, output }: Case, { need, apply }: Omit<Way, "tolerance">) {
  const [, h, w] = output.shape as [number, number, number];
  const target = { height: h, width: w };
  const augmentation: ImageAugmentation = {
    needs: [need],
    holes: name === "erase" ? 1 : 0,
    apply: (change, image) => apply(change, parameters, image.pixels),
  };
  const result = await augmentedImages(
    { rng: createRng(1), epoch: 0, indices: Int32Array.of(0), images: pixels },
    {
      executor: await createOnnxExecutor({ threads: 1 }),
      augmentation: batchAugmentation({
        ...{ augmentations: [augmentation], source: size, target, border: "zeros", fill: "black" },
      }),
      preparation: { ...size, mean: [0, 0, 0], std: [1, 1, 1] },
      target,
    },
  );
  const expected = floatData(golden.read(output));
  return { h, w, off: expected.map((value, i) => Math.abs(value - result[i]!)) };
}

describe("torchvision agrees", () => {
  test.each(golden.index.cases.filter(({ name }) => name !== "hue"))("$name $parameters", async (each) => {
    const way = ways[each.name]!;
    const { h, w, off } = await differences(each, way);
    const edge = way.edge ?? 0;
    const inner = off.filter((_, i) => {
      const [y, x] = [Math.floor(i / w) % h, i % w];
      return y >= edge && y < h - edge && x >= edge && x < w - edge;
    });
    expect(inner.length).toBeGreaterThan(0);
    expect(Math.max(...inner)).toBeLessThan(way.tolerance);
  });

  /** Ours turns about the gray axis, torchvision the hue of HSV: less apart than the change is large. */
  test.each(golden.index.cases.filter(({ name }) => name === "hue"))("about the $name $parameters", async (each) => {
    const turns = each.parameters.turns!;
    const apply = (change: ImageChange): void => recolored(change, shiftHue(change.color, turns));
    const { off } = await differences(each, { need: "color", apply });
    const still = floatData(golden.read(each.output)).map((value, i) => Math.abs(value - pixels[i]!));
    const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(mean(off)).toBeLessThan(0.9 * mean(still));
  });
});
