import { loadForm } from "../backends/onnx/load-form.ts";
import { PipelineError } from "../base/errors.ts";
import { availableCores } from "../base/machine-limits.ts";
import { createRng } from "../base/rng.ts";
import type { Config } from "../config/schema.ts";
import type { Bundle } from "../inference/bundle.ts";
import { readForms } from "../inference/bundle-form.ts";
import type { FormName } from "../inference/forms/form-plan.ts";
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
  /** The form of the network that is measured; default: model.onnx. */
  readonly form?: FormName | undefined;
}

export interface BundleEvaluation {
  readonly evaluation: Evaluation;
  readonly form: FormName;
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
  { bundle, config, split, tta, form = "portable" }: BundleEvaluationRequest,
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
  const batchSize = config.evaluation.batch_size;
  const [int8] = form === "int8" ? await readForms(bundle) : [];
  const files = { portable: bundle.modelPath, int8: int8?.modelPath };
  await using model = await loadForm({ form, size: batchSize }, files, { threads });
  const evaluation = await evaluateModel(
    {
      model,
      preprocessing: metadata.preprocessing,
      classes,
      batchSize,
      temperature: int8?.metadata.temperature ?? metadata.calibration.temperature,
      signal: options.signal,
    },
    { split, images, tta },
  );
  const { name, origin, digest, synthetic } = dataset;
  return {
    evaluation,
    form,
    synthetic: synthetic || metadata.dataset.synthetic,
    dataset: { name, origin, digest },
    sameData,
  };
}
