import { PipelineError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { tensor } from "../tensor/tensor.ts";
import { type BatchSource, gatherImages, type ImageBatch, requireIndices } from "./batch.ts";
import type { ImageSplit } from "./dataset.ts";
import { type GatherPool, startGatherPool } from "./gather-pool.ts";
import type { Augmentation } from "./transforms/augmentation.ts";

export interface LoaderOptions {
  readonly split: ImageSplit;
  /** Images to use; all of them by default. */
  readonly indices?: Int32Array | undefined;
  readonly batchSize: number;
  /** Shuffles each epoch and feeds the augmentation. Without it: the given order and no augmentation, for evaluation. */
  readonly rng?: Rng | undefined;
  readonly augmentation?: Augmentation | undefined;
  /** Whether a last batch of fewer images is left out; false by default. */
  readonly dropLast?: boolean | undefined;
  /** Threads that assemble batches ahead; 0 (default): batches are assembled when asked for. The batches are the same. */
  readonly numWorkers?: number | undefined;
  /** Batches that the threads keep ready, in all; default 2. */
  readonly prefetch?: number | undefined;
  /** Give only this part of each batch: the same images with the same augmentation as in the whole batch. */
  readonly share?: BatchShare | undefined;
}

/** One of several equal parts of a batch, for processes that train together. */
export interface BatchShare {
  /** Counted from 0. */
  readonly rank: number;
  readonly worldSize: number;
}

/** One epoch at a time. */
export interface Loader extends BatchSource<ImageBatch>, AsyncDisposable {
  /** Images in one epoch. */
  readonly imagesPerEpoch: number;
}

/** @throws INVALID_ARGUMENT for an impossible batch size, index or combination. */
export function createLoader(options: LoaderOptions): Loader {
  const { split, batchSize, rng, augmentation, dropLast = false, numWorkers = 0, prefetch = 2, share } = options;
  const indices = options.indices ?? Int32Array.from({ length: split.count }, (_, i) => i);
  requireIndices(split, indices);
  requirePositive("batch size", batchSize);
  requirePositive("number of prefetched batches", prefetch);
  if (!Number.isInteger(numWorkers) || numWorkers < 0) {
    throw new PipelineError("INVALID_ARGUMENT", `the number of loader threads is ${numWorkers}`, {
      remedy: "set dataset.num_workers to 0 or a positive whole number",
    });
  }
  if (augmentation !== undefined && rng === undefined) {
    throw new PipelineError("INVALID_ARGUMENT", "augmentation needs random numbers: pass rng to the loader");
  }
  const stepsPerEpoch = dropLast ? Math.floor(indices.length / batchSize) : Math.ceil(indices.length / batchSize);
  if (stepsPerEpoch === 0 && indices.length > 0) {
    throw new PipelineError("INVALID_ARGUMENT", `${indices.length} images do not fill one batch of ${batchSize}`, {
      remedy: "lower training.batch_size or use more images",
    });
  }
  const rows = shareOf(batchSize, { share, dropLast });
  let pool: GatherPool | undefined;
  let running = false;

  const batchIndices = (order: Int32Array, step: number) => order.slice(step * batchSize, (step + 1) * batchSize);

  const ownOf = (chosen: Int32Array): Int32Array => chosen.subarray(rows.start, rows.end);

  const finish = (epoch: number, step: number, whole: Int32Array, images: Uint8Array): ImageBatch => {
    const chosen = ownOf(whole).slice();
    const count = chosen.length;
    // Drawn image by image: the share of a batch gets what it would get in the whole.
    const drawn =
      augmentation === undefined || rng === undefined ? {} : augmentation.draw({ rng, epoch, indices: chosen, images });
    return {
      step,
      indices: chosen,
      images: tensor("uint8", [count, 3, split.height, split.width], images),
      labels: tensor(
        "int32",
        [count],
        chosen.map((index) => split.labels[index]!),
      ),
      augmentation: drawn,
    };
  };

  async function* batches(epoch: number, startStep: number): AsyncGenerator<ImageBatch> {
    if (running) throw new PipelineError("INVALID_ARGUMENT", "the loader's last epoch is still being read");
    running = true;
    try {
      const order =
        rng === undefined
          ? indices
          : rng
              .split("order")
              .split(epoch)
              .permutation(indices.length)
              .map((position) => indices[position]!);
      if (numWorkers === 0) {
        for (let step = startStep; step < stepsPerEpoch; step++) {
          const chosen = batchIndices(order, step);
          yield finish(epoch, step, chosen, gatherImages(split, ownOf(chosen)));
        }
        return;
      }
      pool ??= startGatherPool({ split, numWorkers });
      using requests = pool.open();
      let asked = startStep;
      for (let step = startStep; step < stepsPerEpoch; step++) {
        while (asked < Math.min(stepsPerEpoch, step + Math.max(prefetch, numWorkers) + 1)) {
          requests.ask(asked, ownOf(batchIndices(order, asked)).slice());
          asked++;
        }
        const images = await requests.take(step);
        yield finish(epoch, step, batchIndices(order, step), images);
      }
    } finally {
      running = false;
    }
  }

  return {
    stepsPerEpoch,
    imagesPerEpoch: dropLast ? stepsPerEpoch * batchSize : indices.length,
    epoch(epoch, startStep = 0) {
      if (!Number.isInteger(startStep) || startStep < 0 || startStep > stepsPerEpoch) {
        throw new PipelineError("INVALID_ARGUMENT", `start step ${startStep} is outside of 0..${stepsPerEpoch}`);
      }
      return batches(epoch, startStep);
    },
    async [Symbol.asyncDispose]() {
      await pool?.[Symbol.asyncDispose]();
      pool = undefined;
    },
  };
}

/**
 * The rows of a share in a batch.
 * @throws INVALID_ARGUMENT where a batch can't be divided into equal parts
 */
export function shareOf(
  batchSize: number,
  { share, dropLast }: { readonly share: BatchShare | undefined; readonly dropLast: boolean },
): { readonly start: number; readonly end: number } {
  if (share === undefined) return { start: 0, end: batchSize };
  const { rank, worldSize } = share;
  const size = batchSize / worldSize;
  if (!Number.isInteger(size) || !dropLast || rank < 0 || rank >= worldSize) {
    throw new PipelineError(
      "INVALID_ARGUMENT",
      `batches of ${batchSize} images have no ${worldSize} equal parts${dropLast ? "" : " where the last is shorter"}`,
      { remedy: "make training.batch_size a multiple of the number of processes" },
    );
  }
  return { start: rank * size, end: (rank + 1) * size };
}

function requirePositive(what: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new PipelineError("INVALID_ARGUMENT", `the ${what} is ${value}`, { remedy: "use a positive whole number" });
}
