import { loadInferenceModel } from "../backends/onnx/inference-model.ts";
import { PipelineError } from "../base/errors.ts";
import { availableCores } from "../base/machine-limits.ts";
import { createRng } from "../base/rng.ts";
import type { Config } from "../config/schema.ts";
import type { Bundle } from "../inference/bundle.ts";
import type { TestTimeAugmentation } from "../training/test-time-augmentation.ts";
import { loadBundleData } from "./bundle-data.ts";
import { type DatasetOptions, splitDataset } from "./configured-dataset.ts";
import { evaluateModel } from "./evaluate-model.ts";
import type { Evaluation } from "./events.ts";

export interface BundleEvaluationRequest {
  readonly bundle: Bundle;
  /** The configuration of the bundle's training, with the data that are to be used now. */
  readonly config: Config;
  readonly split: Evaluation["split"];
  readonly tta: TestTimeAugmentation;
}

export interface BundleEvaluation {
  readonly evaluation: Evaluation;
  readonly synthetic: boolean;
  readonly dataset: { readonly name: string; readonly origin: string; readonly digest: string };
  /** Whether the data are those of the training. */
  readonly sameData: boolean;
}

/**
 * Metrics of a bundle on the test part, or on the validation part as its training drew it.
 * @throws DATA_FOREIGN when the classes differ, or when validation images can't be told from training images
 */
export async function evaluateBundle(
  { bundle, config, split, tta }: BundleEvaluationRequest,
  options: DatasetOptions = {},
): Promise<BundleEvaluation> {
  const { metadata } = bundle;
  const { dataset, sameData } = await loadBundleData(bundle, config, options);
  const { classes } = metadata;
  if (split === "val" && !sameData) {
    throw new PipelineError(
      "DATA_FOREIGN",
      `the images (digest ${dataset.digest}) are not those that ${metadata.name} was trained on (${metadata.dataset.digest})`,
      { remedy: "name the data of its training with --set dataset.source=PATH, or use --split test" },
    );
  }
  const rng = createRng(config.training.seed);
  const images = split === "test" ? dataset.test : splitDataset(config, dataset, rng).validation;
  if (images === undefined) {
    throw new PipelineError("INVALID_ARGUMENT", `${metadata.name} was trained without validation images`, {
      remedy: "use --split test",
    });
  }
  const threads = config.training.threads > 0 ? config.training.threads : availableCores();
  await using model = await loadInferenceModel(bundle.modelPath, { threads });
  const evaluation = await evaluateModel(
    {
      model,
      preprocessing: metadata.preprocessing,
      classes,
      batchSize: config.evaluation.batch_size,
      temperature: metadata.calibration.temperature,
      signal: options.signal,
    },
    { split, images, tta },
  );
  const { name, origin, digest, synthetic } = dataset;
  return {
    evaluation,
    synthetic: synthetic || metadata.dataset.synthetic,
    dataset: { name, origin, digest },
    sameData,
  };
}
