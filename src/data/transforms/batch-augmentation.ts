import { createRng, type Rng } from "../../base/rng.ts";
import { floats, type Named, type Tensor } from "../../tensor/tensor.ts";
import type { Augmentation, AugmentationStages, HoleFill, ImageAugmentation, ImageNeed } from "./augmentation.ts";
import { identityCurves } from "./curves.ts";
import { paint } from "./holes.ts";
import { type ImageChange, unchanged } from "./image-change.ts";
import type { ImageSize } from "./image-size.ts";
import { identityKernel, kernelSize } from "./kernels.ts";
import { drawMix, type MixOptions } from "./mix.ts";
import { type Border, packWarp, warpStage } from "./warp.ts";

export interface BatchAugmentationOptions {
  /** In the order in which they happen; those of one stage compose. */
  readonly augmentations: readonly ImageAugmentation[];
  readonly source: ImageSize;
  /** What the network takes. */
  readonly target: ImageSize;
  /** What lies beyond the image. */
  readonly border: Border;
  readonly fill: HoleFill;
  readonly mix?: MixOptions | undefined;
}

/**
 * All augmentations of a batch as inputs of one graph. Each image draws from a stream of its own, named by epoch and
 * index, so that its changes depend neither on the batch nor on its place there.
 */
export function batchAugmentation(options: BatchAugmentationOptions): Augmentation {
  const { augmentations, source, target, mix } = options;
  const stages = stagesOf(options);
  const numbers = stages.noise === undefined ? new Float32Array() : normalNumbers();
  return {
    stages,
    draw({ rng, epoch, indices, images }) {
      const pixels = 3 * source.height * source.width;
      const stream = rng.split("augment").split(epoch);
      const changes = Array.from(indices, (index, i) => {
        const change = unchanged();
        const image = {
          rng: stream.split(index),
          epoch,
          index,
          pixels: images.subarray(i * pixels, (i + 1) * pixels),
        };
        for (const augmentation of augmentations) augmentation.apply(change, image);
        return change;
      });
      const rngOf = (kind: string) => (i: number) => stream.split(kind).split(indices[i]!);
      return {
        ...pack(changes, options, stages),
        ...(stages.noise === undefined
          ? {}
          : noiseTensors(changes, stages, source, { numbers, rngOf: rngOf("noise") })),
        ...(mix === undefined ? {} : drawMix(mix, { rngOf: rngOf("mix"), count: indices.length, target })),
      };
    },
  };
}

function stagesOf(options: BatchAugmentationOptions): AugmentationStages {
  const { augmentations, fill, mix } = options;
  const needs = new Set<ImageNeed>(augmentations.flatMap((augmentation) => augmentation.needs));
  const moves = (["turn", "zoom", "shift"] as const).find((need) => needs.has(need));
  const holes = augmentations.reduce((sum, { holes: most = 0 }) => sum + most, 0);
  const fields = augmentations.flatMap(({ field }) => (field === undefined ? [] : [field]));
  return {
    curves: needs.has("curves"),
    median: needs.has("median"),
    kernel: needs.has("kernel") ? kernelSize : undefined,
    noise: needs.has("signal-noise") ? "signal" : needs.has("noise") ? "additive" : undefined,
    color: needs.has("color"),
    warp: moves === undefined ? undefined : warpStage({ ...options, moves, fields }),
    holes: holes === 0 ? undefined : { count: holes, fill },
    mix: mix !== undefined,
  };
}

/** One tensor [N, ...shape], filled image by image. */
function perImage(
  changes: readonly ImageChange[],
  shape: readonly number[],
  fill: (change: ImageChange, into: Float32Array) => void,
): Tensor<"float32"> {
  const size = shape.reduce((product, dim) => product * dim, 1);
  const data = new Float32Array(changes.length * size);
  changes.forEach((change, i) => {
    fill(change, data.subarray(i * size, (i + 1) * size));
  });
  return floats([changes.length, ...shape], data);
}

function pack(
  changes: readonly ImageChange[],
  { target }: BatchAugmentationOptions,
  { curves, median, kernel, color, warp, holes }: AugmentationStages,
): Named<Tensor<"float32">> {
  const result: Record<string, Tensor<"float32">> = {};
  if (curves) {
    const identity = identityCurves();
    result.curves = perImage(changes, [3, 256], (change, into) => into.set(change.curves ?? identity));
  }
  if (median) result.median = perImage(changes, [3], (change, into) => into.fill(change.median ? 1 : 0));
  if (kernel !== undefined) {
    result.kernel = perImage(changes, [kernel, kernel], (change, into) => into.set(change.kernel ?? identityKernel));
  }
  if (color) {
    result.color = perImage(changes, [3, 6], ({ color: { own, mean } }, into) => {
      for (let i = 0; i < 9; i++) {
        const at = 6 * Math.floor(i / 3) + (i % 3);
        into[at] = own[i]!;
        into[at + 3] = mean[i]!;
      }
    });
  }
  if (warp !== undefined) {
    result.warp = perImage(changes, [2, warp.functions], (change, into) => packWarp(warp, change, into, 0));
  }
  if (holes !== undefined) {
    const profiles = (which: "rows" | "columns", length: number) =>
      perImage(changes, [holes.count, length], (change, into) => {
        change.holes.forEach((hole, i) => {
          paint(into.subarray(i * length, (i + 1) * length), hole[which]);
        });
      });
    result.holes_y = profiles("rows", target.height);
    result.holes_x = profiles("columns", target.width);
  }
  return result;
}

/**
 * How many normal numbers there are to cut the noise of images from: drawing each anew would cost more than all other
 * draws together.
 */
const bankSize = 2 ** 20;

function normalNumbers(): Float32Array {
  const rng = createRng("noise");
  return Float32Array.from({ length: bankSize }, () => rng.normal());
}

/** Each image's noise is a piece of the numbers from a random place on. */
function noiseTensors(
  changes: readonly ImageChange[],
  { noise }: AugmentationStages,
  { height, width }: ImageSize,
  { numbers, rngOf }: { readonly numbers: Float32Array; readonly rngOf: (i: number) => Rng },
): Named<Tensor<"float32">> {
  const size = 3 * height * width;
  let i = 0;
  return {
    noise: perImage(changes, [3, height, width], (change, into) => {
      const rng = rngOf(i++);
      if (change.noise === undefined) return;
      for (let at = 0; at < size; ) {
        const start = rng.int(bankSize);
        const piece = numbers.subarray(start, start + size - at);
        into.set(piece, at);
        at += piece.length;
      }
    }),
    noise_mix: perImage(changes, [3, 3], (change, into) => {
      // Without a gain for the signal the strength is part of the mixing.
      const strength = noise === "additive" ? (change.noise?.plain ?? 0) : 1;
      if (change.noise !== undefined) into.set(change.noise.mix.map((value) => value * strength));
    }),
    ...(noise === "signal"
      ? {
          noise_gain: perImage(changes, [9], (change, into) => {
            if (change.noise === undefined) return;
            const { plain, linear, root } = change.noise;
            into.fill(plain, 0, 3).fill(linear, 3, 6).fill(root, 6, 9);
          }),
        }
      : {}),
  };
}
