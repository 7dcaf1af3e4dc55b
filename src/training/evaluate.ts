import { setImmediate as nextTurn } from "node:timers/promises";
import { PipelineError } from "../base/errors.ts";
import type { InferenceModel } from "../graph/executor.ts";
import { type Named, type Tensor, tensor } from "../tensor/tensor.ts";
import { type TestTimeAugmentation, viewsOf } from "./test-time-augmentation.ts";

export interface EvaluationImages {
  readonly count: number;
  /** count * 3 * height * width bytes. */
  readonly images: Uint8Array;
  readonly height: number;
  readonly width: number;
}

/** Something to evaluate, batch by batch. */
export interface EvaluationSource {
  readonly count: number;
  /** The logits are the weighted sum of the views'. */
  readonly views: readonly {
    readonly weight: number;
    /** The network's input for the rows from `start` on: exactly `batchSize` of them, those beyond the end anything. */
    batch(start: number, batchSize: number): Named<Tensor>;
  }[];
}

export interface ImageSourceOptions {
  readonly split: EvaluationImages;
  /** Bytes [N, 3, H, W] to the model's input. */
  readonly normalise: (images: Tensor<"uint8">) => Tensor<"float32">;
  readonly tta?: TestTimeAugmentation | undefined;
}

/** Images as the input "images". @throws INVALID_ARGUMENT when the bytes are not as many as the images have */
export function imageSource({ split, normalise, tta = "none" }: ImageSourceOptions): EvaluationSource {
  const { count, height, width, images } = split;
  const size = 3 * height * width;
  if (count < 1 || images.length !== count * size) {
    throw new PipelineError("INVALID_ARGUMENT", `${images.length} bytes are not ${count} images of ${size} bytes`);
  }
  return {
    count,
    views: viewsOf(tta, height, width).map(({ weight, view }) => ({
      weight,
      batch(start, batchSize) {
        const bytes = new Uint8Array(batchSize * size);
        bytes.set(images.subarray(start * size, (start + batchSize) * size));
        return { images: normalise(tensor("uint8", [batchSize, 3, height, width], view(bytes))) };
      },
    })),
  };
}

interface RunOptions {
  readonly model: InferenceModel;
  /** Every run has exactly this many images (the last is filled up), so that logits do not depend on the split. */
  readonly batchSize: number;
  readonly signal?: AbortSignal | undefined;
}

export type EvaluateOptions = RunOptions & ImageSourceOptions;

/** Logits float32 [count, classes] over a split. @throws INVALID_ARGUMENT, and the signal's reason when it aborts */
export async function logitsOf(options: EvaluateOptions): Promise<Tensor<"float32">> {
  return logitsOfSource(imageSource(options), options);
}

/** The same for any source. */
export async function logitsOfSource(source: EvaluationSource, options: RunOptions): Promise<Tensor<"float32">> {
  const { model, batchSize, signal } = options;
  const { count, views } = source;
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new PipelineError("INVALID_ARGUMENT", `the evaluation batch size is ${batchSize}`, {
      remedy: "set it to at least 1",
    });
  }
  let logits: Float32Array | undefined;
  let classes = 0;
  for (let start = 0; start < count; start += batchSize) {
    // A run blocks the thread: let signals and timers in between.
    await nextTurn();
    signal?.throwIfAborted();
    const rows = Math.min(batchSize, count - start);
    for (const { weight, batch } of views) {
      const { logits: result } = await model.run(batch(start, batchSize));
      if (result?.dtype !== "float32" || result.shape.length !== 2 || result.shape[0] !== batchSize) {
        throw new PipelineError("INVALID_ARGUMENT", `the model's logits are ${result?.dtype}[${result?.shape}]`);
      }
      classes = result.shape[1]!;
      logits ??= new Float32Array(count * classes);
      const out = logits.subarray(start * classes, (start + rows) * classes);
      for (let i = 0; i < out.length; i++) out[i]! += weight * result.data[i]!;
    }
  }
  return tensor("float32", [count, classes], logits ?? new Float32Array(0));
}
