import type { ImageLimits } from "../data/transforms/decode-image.ts";
import { AsyncStack } from "../http/async-stack.ts";
import { type Bundle, readBundle } from "../inference/bundle.ts";
import { readForms } from "../inference/bundle-form.ts";
import { Classifier, type ClassifierOptions } from "../inference/classifier.ts";
import { chooseForms, type FormChoice } from "../inference/forms/choose-forms.ts";
import type { FormName } from "../inference/forms/form-plan.ts";
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
  /** Which form of the network serves; auto: what is quickest here. */
  readonly form: FormChoice;
  /** Of the program. */
  readonly version: string;
  readonly logger: Logger;
  readonly onBatch: (size: number, form: FormName) => void;
  /** See WorkerPredictorOptions. */
  readonly worker?: URL;
}

/**
 * Starts the workers of a bundle, warms them up and checks the model. A folder is read and checked first; a bundle was
 * already, and its file is not hashed again.
 * @throws BUNDLE_NOT_FOUND, BUNDLE_DAMAGED, INFERENCE_UNAVAILABLE, MODEL_REFUSED
 */
export async function openModel(source: Bundle | string, options: OpenModelOptions): Promise<OpenedModel> {
  const { workers, threads, maxBatchSize, form, version, logger, onBatch, worker, ...rest } = options;
  const bundle = typeof source === "string" ? await readBundle(source) : source;
  const { metadata, modelPath } = bundle;
  const fieldsOf = ({ worker, requestIds: reqIds }: WorkerMoment) => ({ model: metadata.name, worker, reqIds });
  const int8 = (await readForms(bundle)).find((each) => each.metadata.form === "int8");
  const { plan, trial } = await chooseForms({
    ...{ bundle, int8, choice: form, threads, maxBatchSize, version },
    warn: (message) => logger.warn({ model: metadata.name }, message),
  });
  const forms = [...new Set(plan.variants.map((variant) => variant.form))];
  const measured = trial?.costs.map((cost) => ({ ...cost, milliseconds: Number(cost.milliseconds.toFixed(2)) }));
  logger.info({ channel: "system", model: metadata.name, forms, measured }, "forms of the network chosen");
  await using stack = new AsyncStack();
  const predictor = stack.use(
    await createWorkerPredictor({
      ...{ modelPath, int8Path: int8?.modelPath, plan },
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
      int8Temperature: int8?.metadata.temperature,
      concurrency: workers,
      maxBatchSize,
      ...rest,
      onRun({ images, form, seconds, requestIds: reqIds }) {
        onBatch(images, form);
        statistics.observeBatch(images, seconds);
        logger.debug({ model: metadata.name, images, form, seconds, reqIds }, "model run");
      },
    }),
  );
  const resources = stack.move();
  return { bundle, forms, classifier, statistics, [Symbol.asyncDispose]: () => resources[Symbol.asyncDispose]() };
}
