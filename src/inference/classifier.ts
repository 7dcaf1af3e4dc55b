import { availableCores } from "../base/machine-limits.ts";
import type { ImageLimits } from "../data/transforms/decode-image.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Batcher, type BatchRun, queueFull } from "./batcher.ts";
import type { BundleMetadata } from "./bundle-metadata.ts";
import { type ImageStatistics, imageStatistics } from "./drift-features.ts";
import type { FormName } from "./forms/form-plan.ts";
import { ImageDecoder } from "./image-decoder.ts";
import { Limiter } from "./limiter.ts";
import type { Predictor, Readiness } from "./predictor.ts";
import { stackImages } from "./preprocess.ts";
import { softmax, topK } from "./softmax.ts";

export interface Classification {
  readonly index: number;
  readonly label: string;
  /** Calibrated probability of the label, 0..1. */
  readonly confidence: number;
  /** Calibrated probabilities in the order of the classes. */
  readonly probabilities: Float64Array;
  /** Before calibration and softmax; [classes]. */
  readonly logits: Float32Array;
  readonly imageStatistics: ImageStatistics;
  /** The form of the network that answered. */
  readonly form: FormName;
  /** Computing time of the batch that the image was in, without decoding and waiting. */
  readonly inferenceSeconds: number;
  /** From decoding to the start of the batch. */
  readonly queueSeconds: number;
  /** Zero for an image that came decoded. */
  readonly decodeSeconds: number;
}

/** One model run. */
export interface ModelRun {
  readonly images: number;
  readonly form: FormName;
  /** How long it took; undefined: it failed. */
  readonly seconds: number | undefined;
  /** Of the requests that the images came with, each once. */
  readonly requestIds: readonly string[];
}

export interface ClassifyOptions {
  readonly signal?: AbortSignal | undefined;
  /** The request that the image came with: lines of the log about its model run name it. */
  readonly requestId?: string | undefined;
}

export interface ClassifierOptions {
  readonly predictor: Predictor;
  readonly metadata: Pick<BundleMetadata, "classes" | "preprocessing" | "calibration">;
  /** Of the quantised form, where it serves; default: that of the metadata. */
  readonly int8Temperature?: number | undefined;
  /** Images in one model run; default 32. */
  readonly maxBatchSize?: number;
  /** How long an image may wait for others; default 2 ms. */
  readonly maxDelayMs?: number;
  /** Whether maxDelayMs is waited for always, or only while company can be expected; default "adaptive". */
  readonly window?: "adaptive" | "fixed";
  /** Images that may be decoded and wait for the model; default 256. */
  readonly queueLimit?: number;
  /** Batches that may run at once: the predictor's workers; default 1. */
  readonly concurrency?: number;
  readonly imageLimits?: ImageLimits;
  readonly onRun?: (run: ModelRun) => void;
}

interface Item {
  readonly image: Tensor<"uint8">;
  readonly requestId: string | undefined;
}

interface ImageResult {
  readonly form: FormName;
  readonly logits: Float32Array;
  readonly seconds: number;
  readonly queueSeconds: number;
}

/** Encoded images to labels: decode, batch, predict, calibrate. The server and the command line share it. */
export class Classifier implements AsyncDisposable {
  readonly #options: ClassifierOptions;
  readonly #batcher: Batcher<Item, ImageResult>;
  readonly #queueLimit: number;
  readonly #decoder = new ImageDecoder();
  /** Each image that is decoded keeps one core busy. */
  readonly #decoding = new Limiter(Math.max(2, availableCores()));

  constructor(options: ClassifierOptions) {
    const { maxBatchSize = 32, maxDelayMs = 2, window = "adaptive", queueLimit = 256, concurrency = 1 } = options;
    this.#options = options;
    this.#queueLimit = queueLimit;
    this.#batcher = new Batcher({
      maxBatchSize,
      maxDelayMs,
      window,
      queueLimit,
      concurrency,
      run: (items, batch) => this.#run(items, batch),
    });
  }

  /** Whether images can be classified now. */
  get readiness(): Readiness {
    return this.#options.predictor.readiness;
  }

  /** Images that wait for the model. */
  get waiting(): number {
    return this.#batcher.waiting;
  }

  /** How long an image that comes now will probably wait for the model, in ms. */
  get expectedWaitMs(): number {
    return this.#batcher.expectedWaitMs;
  }

  /**
   * An image that is cancelled before its decoding begins is never decoded.
   * @param bytes an encoded image
   * @throws QUEUE_FULL before it is decoded, and what ImageDecoder.decode, Batcher.submit and Predictor.predict throw
   */
  async classify(bytes: Uint8Array, options: ClassifyOptions = {}): Promise<Classification> {
    const { signal } = options;
    const waiting = this.#decoding.pending + this.#batcher.waiting;
    if (waiting >= this.#queueLimit) {
      throw queueFull({ waiting, limit: this.#queueLimit, retryAfterMs: this.expectedWaitMs });
    }
    const started = performance.now();
    const { metadata, imageLimits } = this.#options;
    const image = await this.#decoding.run(
      () => this.#decoder.decode(bytes, metadata.preprocessing, imageLimits),
      signal,
    );
    const decodeSeconds = (performance.now() - started) / 1000;
    signal?.throwIfAborted();
    return { ...(await this.classifyImage(image, options)), decodeSeconds };
  }

  /** @param image uint8 [3, height, width] of the model's size */
  async classifyImage(image: Tensor<"uint8">, { signal, requestId }: ClassifyOptions = {}): Promise<Classification> {
    const { metadata, int8Temperature } = this.#options;
    const { classes, calibration, preprocessing } = metadata;
    const { logits, form, seconds, queueSeconds } = await this.#batcher.submit({ image, requestId }, signal);
    const own = form === "int8" ? int8Temperature : undefined;
    const probabilities = softmax(logits, own ?? calibration.temperature);
    const best = topK(probabilities, 1)[0]!;
    return {
      index: best.index,
      label: classes[best.index]!,
      confidence: best.probability,
      probabilities,
      logits,
      form,
      imageStatistics: imageStatistics(image.data, preprocessing.height, preprocessing.width),
      inferenceSeconds: seconds,
      queueSeconds,
      decodeSeconds: 0,
    };
  }

  async #run(items: readonly Item[], { signal, queuedMs }: BatchRun): Promise<readonly ImageResult[]> {
    const { predictor, onRun } = this.#options;
    const batch = stackImages(items.map(({ image }) => image));
    const requestIds = [...new Set(items.flatMap(({ requestId }) => requestId ?? []))];
    const form = predictor.formOf(items.length);
    const tell = (seconds: number | undefined) => onRun?.({ images: items.length, form, seconds, requestIds });
    const started = performance.now();
    let logits: Tensor<"float32">;
    try {
      logits = await predictor.predict(batch, { signal, requestIds });
    } catch (error) {
      tell(undefined);
      throw error;
    }
    const seconds = (performance.now() - started) / 1000;
    tell(seconds);
    const classCount = logits.shape[1]!;
    return items.map((_, i) => ({
      logits: logits.data.slice(i * classCount, (i + 1) * classCount),
      form,
      seconds,
      queueSeconds: queuedMs[i]! / 1000,
    }));
  }

  /** Finishes the images that wait; the predictor stays open: whoever made it disposes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#decoder[Symbol.dispose]();
    await this.#batcher[Symbol.asyncDispose]();
  }
}
