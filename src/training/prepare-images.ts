import { PipelineError } from "../base/errors.ts";
import type { AugmentationStages } from "../data/transforms/augmentation.ts";
import * as g from "../graph/build.ts";
import type { Value } from "../graph/value.ts";
import { floats } from "../tensor/tensor.ts";
import {
  type AugmentationInput,
  changeColors,
  keptPixels,
  maskImages,
  mixImages,
  warpImages,
} from "./augment-images.ts";

/** From bytes to a network's input, inside a graph. */
export interface ImagePreparation {
  /** Of the fed images; default: the network's. Other sizes are resized. */
  readonly height?: number;
  readonly width?: number;
  /** Per channel on the scale 0..1: (x / 255 - mean) / std. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** With it the graph has the inputs "augment/…" that an Augmentation draws. */
  readonly augmentation?: AugmentationStages | undefined;
}

export interface PreparedImages {
  /** Of the graph: what `x` is made of. */
  readonly inputs: readonly Value<"input">[];
  /** Float32 [N, 3, height, width] as the network takes it. */
  readonly x: Value;
  /** [N]: how much of each label is that of the next image, where images are mixed. */
  readonly mixShare?: Value;
}

interface PrepareOptions extends ImagePreparation {
  readonly batchSize: number;
  /** What the network takes. */
  readonly target: { readonly height: number; readonly width: number };
}

/** Input "images" uint8 [N, 3, height, width] changed, resized and normalised. */
export function prepareImages(options: PrepareOptions): PreparedImages {
  const { batchSize, target, mean, std, augmentation } = options;
  const { height = target.height, width = target.width } = options;
  const images = g.input("images", "uint8", [batchSize, 3, height, width]);
  const scale = std.map((s) => 1 / (255 * s));
  const bias = mean.map((m, i) => -m / std[i]!);
  const vector = (values: readonly number[]): Value => g.constant(floats([3], values));
  if (augmentation === undefined) {
    const sized = resized(g.cast(images, "float32"), target);
    return { inputs: [images], x: g.channelAffine(sized, vector(scale), vector(bias)) };
  }
  checkSizes(augmentation, { height, width }, target);
  const inputs = [images];
  const input: AugmentationInput = (name, shape) => {
    const value = g.input(`augment/${name}`, "float32", [batchSize, ...shape]);
    inputs.push(value);
    return value;
  };
  const { warp, holes, mix } = augmentation;
  // Black stays 0 until all that leaves black is done; at the size of the source a product costs least.
  const scaled = g.channelAffine(changeColors(images, augmentation, input), vector(scale), g.filled([3], 0));
  let x = warp === undefined ? resized(scaled, target) : warpImages(scaled, warp, input);
  const kept = holes === undefined ? undefined : keptPixels(holes.count, target, input);
  if (kept !== undefined && holes?.fill === "black") x = maskImages(x, kept);
  x = g.channelAffine(x, g.filled([3], 1), vector(bias));
  if (kept !== undefined && holes?.fill === "mean") x = maskImages(x, kept);
  return mix ? { inputs, x: mixImages(x, input), mixShare: input("mix_share", []) } : { inputs, x };
}

function checkSizes({ warp }: AugmentationStages, source: PrepareOptions["target"], target: PrepareOptions["target"]) {
  const same = (a: PrepareOptions["target"], b: PrepareOptions["target"]): boolean =>
    a.height === b.height && a.width === b.width;
  if (warp === undefined || (same(warp.source, source) && same(warp.target, target))) return;
  const text = ({ height, width }: PrepareOptions["target"]): string => `${height}x${width}`;
  throw new PipelineError(
    "INVALID_ARGUMENT",
    `the augmentation makes ${text(warp.target)} from ${text(warp.source)}, not ${text(target)} from ${text(source)}`,
    { remedy: "create it with the sizes of the images and of the network's input" },
  );
}

function resized(x: Value, { height, width }: PrepareOptions["target"]): Value {
  return x.shape[2] === height && x.shape[3] === width ? x : g.resize(x, height, width);
}
