import type { ImageLimits } from "../data/transforms/decode-image.ts";
import { AsyncStack } from "../http/async-stack.ts";
import { type Bundle, readBundle } from "../inference/bundle.ts";
import { Classifier, type ClassifierOptions } from "../inference/classifier.ts";
import { ModelStatistics } from "../inference/model-statistics.ts";
import { createWorkerPredictor, type WorkerMoment } from "../inference/predictor.ts";
import { selfCheck } from "../inference/self-check.ts";
import type { Logger } from "../observability/logger.ts";
import type { OpenedModel } from "./model-repository.ts";

export interface OpenModelOptions extends Pick<ClassifierOptions, "maxDelayMs" | "window" | "queueLimit"> {
  readonly maxBatchSize: number;
  /** Worker threads with a copy of the model each, and threads within each. */
  readonly workers: number;
  readonly threads: number;
  readonly imageLimits: ImageLimits;
  readonly logger: Logger;
  readonly onBatch: (size: number) => void;
  /** See WorkerPredictorOptions. */
  readonly worker?: URL;
}

/**
 * Starts the workers of a bundle, warms them up and checks the model. A folder is read and checked first; a bundle was
 * already, and its file is not hashed again.
 * @throws BUNDLE_NOT_FOUND, BUNDLE_DAMAGED, INFERENCE_UNAVAILABLE, MODEL_REFUSED
 */
export async function openModel(source: Bundle | string, options: OpenModelOptions): Promise<OpenedModel> {
  const { workers, threads, maxBatchSize, logger, onBatch, worker, ...rest } = options;
  const bundle = typeof source === "string" ? await readBundle(source) : source;
  const { metadata, modelPath } = bundle;
  const fieldsOf = ({ worker, requestIds: reqIds }: WorkerMoment) => ({ model: metadata.name, worker, reqIds });
  await using stack = new AsyncStack();
  const predictor = stack.use(
    await createWorkerPredictor({
      modelPath,
      preprocessing: metadata.preprocessing,
      classCount: metadata.classes.length,
      workers,
      threads,
      warmUpBatchSizes: [1, maxBatchSize],
      ...(worker === undefined ? {} : { worker }),
      onCrash: (error, moment) =>
        logger.error({ err: error, ...fieldsOf(moment) }, "inference worker crashed; restarting it"),
      onOutput: (text, moment) => logger.warn({ ...fieldsOf(moment), text: text.slice(0, 4096) }, "inference worker"),
    }),
  );
  await selfCheck(predictor, metadata);
  const statistics = new ModelStatistics();
  const classifier = stack.use(
    new Classifier({
      predictor,
      metadata,
      concurrency: workers,
      maxBatchSize,
      ...rest,
      onRun({ images, seconds, requestIds: reqIds }) {
        onBatch(images);
        statistics.observeBatch(images, seconds);
        logger.debug({ model: metadata.name, images, seconds, reqIds }, "model run");
      },
    }),
  );
  const resources = stack.move();
  return { bundle, classifier, statistics, [Symbol.asyncDispose]: () => resources[Symbol.asyncDispose]() };
}
