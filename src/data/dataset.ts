/** Uint8 images in NCHW order with their class indices, whole in memory. */
export interface ImageSplit {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  /**
   * count * 3 * height * width bytes: per image 3 planes (R, G, B) of rows. In shared memory where the pipeline made
   * it, so that worker threads read it without a copy.
   */
  readonly images: Uint8Array;
  readonly labels: Int32Array;
}

/** A labelled image data set with its official training and test parts. */
export interface ImageDataset {
  readonly name: string;
  /** True for the generated data set: every place that shows a result must then say "synthetic". */
  readonly synthetic: boolean;
  /** Where the data came from, for people: "official download", a path, or "generated". */
  readonly origin: string;
  readonly classes: readonly string[];
  readonly height: number;
  readonly width: number;
  /** SHA-256 (hex) over images and labels of both parts. */
  readonly digest: string;
  readonly train: ImageSplit;
  readonly test: ImageSplit;
}
