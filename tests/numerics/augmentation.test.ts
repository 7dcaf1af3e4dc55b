import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { createOnnxExecutor } from "../../src/backends/onnx/executor.ts";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { createReferenceExecutor } from "../../src/backends/reference/executor.ts";
import { createRng } from "../../src/base/rng.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Augmentation } from "../../src/data/transforms/augmentation.ts";
import { configuredAugmentation } from "../../src/experiments/configured-augmentation.ts";
import type { Executor } from "../../src/graph/executor.ts";
import { defineGraph } from "../../src/graph/graph.ts";
import { floatData, tensor } from "../../src/tensor/tensor.ts";
import { augmentedImages } from "../../src/training/augmented-images.ts";
import { prepareImages } from "../../src/training/prepare-images.ts";

const count = 6;
/** No symmetry, and no value that a rounding could take across a step. */
const testImages = (height: number, width: number, images = count): Uint8Array => {
  const rng = createRng("images");
  const [a, b] = [Math.PI / height, Math.PI / width];
  return Uint8Array.from({ length: images * 3 * height * width }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width) % height];
    const channel = Math.floor(i / (height * width)) % 3;
    return 128 + 60 * Math.sin(2 * a * y + channel) * Math.cos(3 * b * x + 1) + 20 * Math.cos(b * x) + rng.int(30);
  });
};

const alone = ["augmentation.random_crop=false", "augmentation.horizontal_flip=false"];

function configured(settings: readonly string[], source = { height: 32, width: 32 }): Augmentation {
  const overrides = [
    ...alone,
    ...settings.map((text) => (text.startsWith("dataset.") ? text : `augmentation.${text}`)),
  ];
  const augmentation = configuredAugmentation(loadConfig({ env: {}, overrides }).config, source);
  if (augmentation === undefined) throw new Error("nothing is switched on");
  return augmentation;
}

interface RunOptions {
  readonly height?: number;
  readonly width?: number;
  readonly target?: { readonly height: number; readonly width: number };
  readonly images?: Uint8Array;
  readonly epoch?: number;
  readonly seed?: number;
  readonly executor?: Executor;
  readonly std?: readonly number[];
}

async function run(augmentation: Augmentation, options: RunOptions = {}): Promise<Float32Array> {
  const { height = 32, width = 32, target = { height: 32, width: 32 }, epoch = 0, seed = 1 } = options;
  const { images = testImages(height, width), executor = await createOnnxExecutor({ threads: 2 }) } = options;
  const indices = Int32Array.from({ length: images.length / (3 * height * width) }, (_, i) => 5 * i);
  const preparation = { height, width, mean: [0.5, 0.4, 0.45], std: options.std ?? [0.25, 0.2, 0.3] };
  const context = { rng: createRng(seed), epoch, indices, images };
  return augmentedImages(context, { executor, augmentation, preparation, target });
}

const always = (name: string, ...more: string[]): string[] => [`${name}=true`, `${name}_probability=1`, ...more];

/** Every switch, so that it always does something. */
const switches: Readonly<Record<string, readonly string[]>> = {
  random_resized_crop: ["random_resized_crop=true", "random_resized_crop_scale=[0.2,0.6]"],
  random_crop: ["random_crop=true"],
  "random_crop to black": ["random_crop=true", "crop_border=zeros"],
  horizontal_flip: ["horizontal_flip=true"],
  "horizontal_flip alternating": ["horizontal_flip=alternating"],
  vertical_flip: ["vertical_flip=true"],
  rotation: ["rotation_degrees=40"],
  "rotation to black": ["rotation_degrees=40", "crop_border=zeros"],
  square_symmetry_rotations: ["square_symmetry_rotations=true"],
  coarse_dropout: always("coarse_dropout"),
  channel_dropout: always("channel_dropout"),
  color_jitter: always("color_jitter"),
  gamma: always("gamma"),
  affine: always("affine", "affine_translate=0.1"),
  "noise gaussian": always("noise", "noise_kinds=[gaussian]"),
  "noise iso": always("noise", "noise_kinds=[iso]"),
  "noise multiplicative": always("noise", "noise_kinds=[multiplicative]"),
  "blur gaussian": always("blur", "blur_kinds=[gaussian]"),
  "blur motion": always("blur", "blur_kinds=[motion]"),
  "blur median": ["blur=true", "blur_probability=0.5", "blur_kinds=[median]"],
  grid_distortion: always("grid_distortion"),
  elastic_transform: always("elastic_transform"),
  cutout: always("cutout"),
  "cutout to the mean": always("cutout", "hole_fill=mean"),
  random_erasing: always("random_erasing"),
  grid_mask: always("grid_mask"),
  mixup: ["mixup=true", "mixup_alpha=1"],
  cutmix: ["cutmix=true"],
  rand_augment: ["rand_augment=true", "rand_augment_operations=4"],
  trivial_augment: ["trivial_augment=true"],
};
const everything = Object.values(switches)
  .flat()
  .filter((text) => !text.startsWith("trivial_augment") && !text.endsWith("alternating"));

const largest = (a: Float32Array, b: ArrayLike<number>): number =>
  a.reduce((max, value, i) => Math.max(max, Math.abs(value - b[i]!)), 0);

describe("each switch", () => {
  test.each(Object.entries(switches))(
    "%s changes images, the same way each time, otherwise in the next epoch",
    async (_, settings) => {
      const images = testImages(32, 32);
      const augmentation = configured(settings);
      const once = await run(augmentation, { images });
      expect(once.length).toBe(images.length);
      expect(once.every(Number.isFinite)).toBe(true);
      expect(largest(once, images)).toBeGreaterThan(5);
      expect(await run(configured(settings), { images })).toEqual(once);
      expect(await run(augmentation, { images, epoch: 1 })).not.toEqual(once);
      // Alternating flips begin as the configuration's seed says.
      if (!settings.includes("horizontal_flip=alternating")) {
        expect(await run(augmentation, { images, seed: 2 })).not.toEqual(once);
      }
    },
  );

  test.each([...Object.entries(switches), ["all of them", everything] as const])(
    "%s: onnxruntime agrees with the reference interpreter",
    async (_, settings) => {
      // Another size than the source, and sides that differ.
      const [source, target] = [
        { height: 9, width: 12 },
        { height: 20, width: 20 },
      ];
      const augmentation = configured([...settings, "crop_padding=2", "dataset.img_size=20"], source);
      const images = testImages(source.height, source.width, 3);
      const options = { ...source, images, target };
      const expected = await run(augmentation, {
        ...options,
        executor: createReferenceExecutor({ precision: "float64" }),
      });
      expect(largest(await run(augmentation, options), expected)).toBeLessThan(0.05);
    },
  );

  it("refuses nothing of the seed's section any more", () => {
    for (const settings of Object.values(switches)) expect(() => configured(settings)).not.toThrow();
  });
});

describe("identity", () => {
  test.each([
    ["affine", ["affine_scale=[1,1]", "affine_rotate=[0,0]", "affine_shear=0"]],
    ["rotation", ["rotation_degrees=1e-9"]],
    ["grid_distortion", ["grid_distortion_limit=0"]],
    ["elastic_transform", ["elastic_transform_strength=0"]],
    ["color_jitter", ["brightness=0", "contrast=0", "saturation=0", "hue=0"]],
    ["gamma", ["gamma_range=[1,1]"]],
    ["noise", ["noise_strength=[0,0]"]],
    ["blur", ["blur_kinds=[gaussian]", "blur_sigma=[0.05,0.05]"]],
    ["random_resized_crop", ["random_resized_crop_scale=[1,1]", "random_resized_crop_ratio=[1,1]"]],
    ["rand_augment", ["rand_augment_magnitude=0", "rand_augment_operations=1"]],
  ])("%s of no strength changes nothing", async (name, settings) => {
    const flags = name === "rotation" ? [] : [`${name}=true`];
    const images = testImages(32, 32);
    const result = await run(configured([...flags, ...settings]), { images });
    // Automatic contrast and equalisation have no strength: leave out what they changed.
    const untouched = name === "rand_augment" ? 0.5 : 1;
    const same = result.filter((value, i) => Math.abs(value - images[i]!) < 2e-3).length;
    expect(same / result.length).toBeGreaterThanOrEqual(untouched);
  });

  test.each(["reflect", "zeros"])("a change of size alone is what evaluation does, border %s", async (border) => {
    const images = testImages(32, 32);
    const target = { height: 48, width: 48 };
    const moved = configured([
      ...["affine=true", "affine_scale=[1,1]", "affine_rotate=[0,0]", "affine_shear=0"],
      ...[`crop_border=${border}`, "dataset.img_size=48"],
    ]);
    const { inputs, x } = prepareImages({
      ...{ height: 32, width: 32, batchSize: count, target },
      ...{ mean: [0, 0, 0], std: [1 / 255, 1 / 255, 1 / 255] },
    });
    await using plain = await createReferenceExecutor().compile(defineGraph({ name: "plain", inputs, outputs: { x } }));
    const resized = floatData((await plain.run({ images: tensor("uint8", [count, 3, 32, 32], images) })).x!);
    expect(largest(await run(moved, { images, target }), resized)).toBeLessThan(2e-3);
  });
});

describe("what the names say", () => {
  const images = testImages(32, 32);
  const plane = 32 * 32;
  const image = (data: ArrayLike<number>, i: number): number[] =>
    Array.from({ length: 3 * plane }, (_, at) => data[3 * plane * i + at]!);
  const at = (data: readonly number[], c: number, y: number, x: number): number => data[c * plane + y * 32 + x]!;

  /** The whole image, with the pixel of each place taken from elsewhere. */
  const rearranged = (data: readonly number[], from: (y: number, x: number) => readonly [number, number]): number[] =>
    Array.from({ length: 3 * plane }, (_, i) => {
      const [c, y, x] = [Math.floor(i / plane), Math.floor((i % plane) / 32), i % 32];
      return at(data, c, ...from(y, x));
    });
  const distance = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((max, value, i) => Math.max(max, Math.abs(value - b[i]!)), 0);

  it("square symmetries keep the pixels, turned by a quarter of a circle as often as not", async () => {
    const turns = [
      (y: number, x: number) => [y, x] as const,
      (y: number, x: number) => [x, 31 - y] as const,
      (y: number, x: number) => [31 - y, 31 - x] as const,
      (y: number, x: number) => [31 - x, y] as const,
    ];
    const seen = new Set<number>();
    for (let epoch = 0; epoch < 4; epoch++) {
      const result = await run(configured(["square_symmetry_rotations=true"]), { images, epoch });
      for (let i = 0; i < count; i++) {
        const which = turns.findIndex((from) => distance(image(result, i), rearranged(image(images, i), from)) < 0.01);
        expect(which).toBeGreaterThanOrEqual(0);
        seen.add(which);
      }
    }
    expect([...seen].sort()).toEqual([0, 1, 2, 3]);
  });

  it("flips mirror whole images, left to right or top to bottom", async () => {
    for (const [settings, from] of [
      ["horizontal_flip=true", (y: number, x: number) => [y, 31 - x] as const],
      ["vertical_flip=true", (y: number, x: number) => [31 - y, x] as const],
    ] as const) {
      const result = await run(configured([settings]), { images, std: [1 / 255, 1 / 255, 1 / 255] });
      const flipped = Array.from({ length: count }, (_, i) => {
        const [own, before] = [image(result, i), image(images, i)];
        if (distance(own, before) < 1e-3) return false;
        expect(distance(own, rearranged(before, from))).toBeLessThan(1e-3);
        return true;
      });
      expect(new Set(flipped).size).toBe(2);
    }
  });

  it("crops shift by whole pixels into the mirrored image or into black", async () => {
    for (const border of ["reflect", "zeros"] as const) {
      const result = await run(configured(["random_crop=true", `crop_border=${border}`]), { images });
      const mirrored = (p: number): number => (p < 0 ? -p : p > 31 ? 62 - p : p);
      for (let i = 0; i < count; i++) {
        const [own, before] = [image(result, i), image(images, i)];
        const shifts = Array.from({ length: 81 }, (_, n) => [Math.floor(n / 9) - 4, (n % 9) - 4] as const);
        const fits = shifts.filter(([dy, dx]) =>
          own.every((value, place) => {
            const [c, y, x] = [Math.floor(place / plane), Math.floor((place % plane) / 32), place % 32];
            const outside = y + dy < 0 || y + dy > 31 || x + dx < 0 || x + dx > 31;
            const wanted = outside && border === "zeros" ? 0 : at(before, c, mirrored(y + dy), mirrored(x + dx));
            return Math.abs(value - wanted) < 0.01;
          }),
        );
        expect(fits).toHaveLength(1);
      }
    }
  });

  it("holes are black or the mean, of an area within the bounds, and touch nothing else", async () => {
    const bounds: readonly (readonly [string[], number, number])[] = [
      [always("cutout"), 16, 64],
      [always("coarse_dropout"), 1, 8 * 64],
      [always("coarse_dropout", "coarse_dropout_max_holes=2", "coarse_dropout_max_height=3"), 1, 2 * 24],
      [always("random_erasing"), 0.015 * plane, 0.36 * plane],
      [always("grid_mask"), 0.1 * plane, 0.45 * plane],
    ];
    for (const [settings, least, most] of bounds) {
      for (const [fill, color] of [
        ["black", [0, 0, 0]],
        ["mean", [0.5 * 255, 0.4 * 255, 0.45 * 255]],
      ] as const) {
        const result = await run(configured([...settings, `hole_fill=${fill}`]), { images });
        for (let i = 0; i < count; i++) {
          const [own, before] = [image(result, i), image(images, i)];
          let area = 0;
          for (let place = 0; place < plane; place++) {
            const channels = [0, 1, 2].map((c) => own[c * plane + place]!);
            if (channels.every((value, c) => Math.abs(value - before[c * plane + place]!) < 0.01)) continue;
            for (const c of [0, 1, 2]) expect(channels[c]).toBeCloseTo(color[c]!, 2);
            area++;
          }
          expect(area).toBeGreaterThanOrEqual(least);
          expect(area).toBeLessThanOrEqual(most);
        }
      }
    }
  });

  it("channel dropout makes exactly one channel black", async () => {
    const result = await run(configured(always("channel_dropout")), { images });
    for (let i = 0; i < count; i++) {
      const black = [0, 1, 2].filter((c) =>
        image(result, i)
          .slice(c * plane, (c + 1) * plane)
          .every((v) => Math.abs(v) < 0.01),
      );
      expect(black).toHaveLength(1);
      for (const c of [0, 1, 2].filter((channel) => !black.includes(channel)))
        expect(at(image(result, i), c, 9, 9)).toBeCloseTo(at(image(images, i), c, 9, 9), 2);
    }
  });

  it("mixup is a share of the next image, cutmix a rectangle of it, and the labels' share is the pixels'", async () => {
    for (const settings of [["mixup=true", "mixup_alpha=1"], ["cutmix=true"]]) {
      const augmentation = configured(settings);
      const indices = Int32Array.from({ length: count }, (_, i) => 5 * i);
      const { mix_share: shares } = augmentation.draw({ rng: createRng(1), epoch: 0, indices, images });
      const result = await run(augmentation, { images });
      for (let i = 0; i < count; i++) {
        const [own, before, next] = [image(result, i), image(images, i), image(images, (i + 1) % count)];
        const taken = own.flatMap((value, place) => {
          const step = next[place]! - before[place]!;
          return Math.abs(step) < 20 ? [] : [(value - before[place]!) / step];
        });
        const mean = taken.reduce((sum, value) => sum + value, 0) / taken.length;
        expect(Math.abs(mean - shares!.data[i]!)).toBeLessThan(settings[0] === "cutmix=true" ? 0.15 : 1e-3);
        if (settings[0] === "cutmix=true")
          for (const value of taken) expect(Math.min(Math.abs(value), Math.abs(value - 1))).toBeLessThan(1e-3);
      }
    }
  });

  const gray = new Uint8Array(count * 3 * plane).fill(100);
  const spread = (values: readonly number[]): number => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  };

  it.each([
    ["gaussian", 0.1 * 255, 0.577],
    ["multiplicative", 0.1 * 100, 0.577],
    ["iso", 0.1 * 255 * Math.sqrt(100 / 255), 0.95],
  ])("%s noise has the standard deviation asked for, and is as gray as it should be", async (kind, sigma, grayness) => {
    const settings = always("noise", `noise_kinds=[${kind}]`, "noise_strength=[0.1,0.1]");
    const result = await run(configured(settings), { images: gray });
    const all = Array.from(result);
    expect(spread(all) / sigma).toBeGreaterThan(0.96);
    expect(spread(all) / sigma).toBeLessThan(1.04);
    const means = Array.from({ length: count * plane }, (_, i) => {
      const [n, p] = [Math.floor(i / plane), i % plane];
      return [0, 1, 2].reduce((sum, c) => sum + result[(3 * n + c) * plane + p]! / 3, 0);
    });
    expect(Math.abs(spread(means) / spread(all) - grayness)).toBeLessThan(0.04);
  });

  it("median blur is the median of nine", async () => {
    const result = await run(configured(always("blur", "blur_kinds=[median]")), { images });
    const clampIndex = (i: number): number => Math.min(31, Math.max(0, i));
    for (const [i, c, y, x] of [
      [0, 0, 5, 7],
      [3, 1, 0, 0],
      [5, 2, 31, 12],
      [2, 1, 20, 31],
    ] as const) {
      const nine = [-1, 0, 1].flatMap((dy) =>
        [-1, 0, 1].map((dx) => at(image(images, i), c, clampIndex(y + dy), clampIndex(x + dx))),
      );
      expect(at(image(result, i), c, y, x)).toBeCloseTo(nine.toSorted((a, b) => a - b)[4]!, 2);
    }
  });

  it("blurs keep the mean and take away detail; gamma keeps black and white", async () => {
    const rough = (data: readonly number[]): number =>
      data.reduce((sum, value, i) => (i % 32 === 31 ? sum : sum + Math.abs(value - data[i + 1]!)), 0);
    for (const kind of ["gaussian", "motion"]) {
      const result = await run(configured(always("blur", `blur_kinds=[${kind}]`, "blur_sigma=[1,1]")), { images });
      expect(rough(Array.from(result)) / rough(Array.from(images))).toBeLessThan(0.85);
      const mean = (data: ArrayLike<number>): number => Array.from(data).reduce((sum, v) => sum + v, 0) / data.length;
      expect(Math.abs(mean(result) - mean(images))).toBeLessThan(1);
    }
    const ends = Uint8Array.from(gray, (_, i) => (i % 2) * 255);
    expect(largest(await run(configured(always("gamma")), { images: ends }), ends)).toBeLessThan(0.01);
  });

  it("one pass does what two passes do one after the other, but for interpolating twice", async () => {
    const settings = { crop: "random_crop=true", flip: "horizontal_flip=true" };
    const both = await run(configured([settings.crop, settings.flip]), { images });
    // Whole pixels: nothing is interpolated, so the two orders of evaluation agree exactly.
    const cropped = await run(configured([settings.crop]), { images });
    for (let i = 0; i < count; i++) {
      const one = image(both, i);
      const twice = image(cropped, i);
      const mirrored = rearranged(twice, (y, x) => [y, 31 - x]);
      expect(Math.min(distance(one, twice), distance(one, mirrored))).toBeLessThan(0.02);
    }
  });
});

describe("draws", () => {
  it("depend on seed, epoch and index alone, not on the batch", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.nat(50),
        fc.uniqueArray(fc.nat(1000), { minLength: 2, maxLength: 6 }),
        (seed, epoch, list) => {
          const augmentation = configured(everything);
          const pixels = testImages(32, 32, list.length);
          const draw = (indices: readonly number[], images: Uint8Array) =>
            augmentation.draw({ rng: createRng(seed), epoch, indices: Int32Array.from(indices), images });
          const whole = draw(list, pixels);
          const last = draw(list.slice(-1), pixels.subarray(-3 * 32 * 32));
          for (const [name, { data, shape }] of Object.entries(last)) {
            const size = data.length / shape[0]!;
            expect(whole[name]!.data.slice(-size), name).toEqual(data);
          }
          expect(draw(list, pixels)).toEqual(whole);
        },
      ),
      { numRuns: 10 },
    );
  });
});

test("an exported model of a free batch augments as the training graph does", async () => {
  const augmentation = configured([...everything.filter((text) => !/mix/.test(text)), "dataset.img_size=72"]);
  const images = testImages(32, 32);
  const target = { height: 72, width: 72 };
  const common = { height: 32, width: 32, target, mean: [0.5, 0.4, 0.45], std: [0.25, 0.2, 0.3] };
  const { inputs, x } = prepareImages({ ...common, batchSize: 2, augmentation: augmentation.stages });
  const file = await exportInferenceModel(defineGraph({ name: "free", inputs, outputs: { x } }), {});
  await using model = await loadInferenceModel(file);
  const indices = Int32Array.from({ length: count }, (_, i) => 5 * i);
  const drawn = augmentation.draw({ rng: createRng(1), epoch: 0, indices, images });
  const feeds = Object.fromEntries(Object.entries(drawn).map(([name, value]) => [`augment/${name}`, value]));
  const result = floatData((await model.run({ images: tensor("uint8", [count, 3, 32, 32], images), ...feeds })).x!);
  const plane = 72 * 72;
  const bytes = result.map((value, i) => {
    const c = Math.floor(i / plane) % 3;
    return 255 * (value * common.std[c]! + common.mean[c]!);
  });
  expect(largest(bytes, await run(augmentation, { images, target }))).toBeLessThan(0.02);
});
