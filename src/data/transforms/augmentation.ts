import type { Rng } from "../../base/rng.ts";
import type { Named, Tensor } from "../../tensor/tensor.ts";
import type { ImageChange } from "./image-change.ts";
import type { Field, WarpStage } from "./warp.ts";

/** What an augmentation may depend on: the same context always gives the same parameters. */
export interface AugmentationContext {
  /** The same for all batches. */
  readonly rng: Rng;
  readonly epoch: number;
  /** Indices of the batch's images in the data set: an image keeps its index in every epoch. */
  readonly indices: Int32Array;
  /** Of the batch, [N, 3, H, W], as they are before. */
  readonly images: Uint8Array;
}

/** What holes are filled with: black, or the mean colour that the network's input is centred at. */
export type HoleFill = "black" | "mean";

/**
 * What the graph has to do, in this order, with the inputs "augment/…" that `Augmentation.draw` gives. A stage that no
 * augmentation needs is not in the graph.
 */
export interface AugmentationStages {
  /** "curves" [N, 3, 256]: what each byte becomes. */
  readonly curves: boolean;
  /** "median" [N, 3]: 1 for a 3x3 median, 0 for none. */
  readonly median: boolean;
  /** "kernel" [N, k, k] of this odd size, correlated with every channel. */
  readonly kernel: number | undefined;
  /** "noise" [N, 3, H, W] and "noise_mix" [N, 3, 3], then "noise_gain" [N, 9]: x += e (a + b x + c sqrt x), e = mix noise. */
  readonly noise: "additive" | "signal" | undefined;
  /** "color" [N, 3, 6] = [own | mean]: own x + mean (mean of x). */
  readonly color: boolean;
  /** "warp" [N, 2, K], see WarpStage. */
  readonly warp: WarpStage | undefined;
  /** "holes_y" [N, holes, H], "holes_x" [N, holes, W]: a pixel is in a hole where the product of the two is 1. */
  readonly holes: { readonly count: number; readonly fill: HoleFill } | undefined;
  /**
   * "mix_y" [N, 1, H], "mix_x" [N, 1, W]: at each pixel the product is the share of the next image of the batch;
   * "mix_share" [N] is its mean, the share of the next image's label.
   */
  readonly mix: boolean;
}

/** Random changes of a batch: parameters drawn on the host, pixels changed in the graph. */
export interface Augmentation {
  readonly stages: AugmentationStages;
  /** A pure function of the context; names without "augment/". */
  draw(context: AugmentationContext): Named<Tensor<"float32">>;
}

/** One image of a batch. */
export interface ImageContext {
  /** Of this image and epoch alone. */
  readonly rng: Rng;
  readonly epoch: number;
  readonly index: number;
  /** [3, H, W] */
  readonly pixels: Uint8Array;
}

/** One kind of change. What it needs of the graph is known before the first batch. */
export interface ImageAugmentation {
  readonly needs: readonly ImageNeed[];
  /** Most holes that it makes. */
  readonly holes?: number;
  /** Shape of the displacements that it adds. */
  readonly field?: Field;
  apply(change: ImageChange, image: ImageContext): void;
}

/** "shift": images move by whole pixels or are mirrored; "zoom": pixels move along the axes; "turn": in any way. */
export type ImageNeed = "shift" | "zoom" | "turn" | "curves" | "median" | "kernel" | "noise" | "signal-noise" | "color";
