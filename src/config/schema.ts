import { z } from "zod";
import { augmentationSection } from "./sections/augmentation.ts";
import { datasetSection } from "./sections/dataset.ts";
import { distributedSection } from "./sections/distributed.ts";
import { evaluationSection } from "./sections/evaluation.ts";
import { mlflowSection } from "./sections/mlflow.ts";
import { modelSection } from "./sections/model.ts";
import { monitoringSection } from "./sections/monitoring.ts";
import { rayTuneSection } from "./sections/ray-tune.ts";
import { servingSection } from "./sections/serving.ts";
import { trainingSection } from "./sections/training.ts";

const sections = z.strictObject({
  dataset: datasetSection.prefault({}),
  model: modelSection.prefault({}),
  training: trainingSection.prefault({}),
  augmentation: augmentationSection.prefault({}),
  evaluation: evaluationSection.prefault({}),
  mlflow: mlflowSection.prefault({}),
  serving: servingSection.prefault({}),
  monitoring: monitoringSection.prefault({}),
  ray_tune: rayTuneSection.prefault({}),
  distributed: distributedSection.prefault({}),
});

type Sections = z.output<typeof sections>;

/** A rule over several keys: the key to report and what is wrong, or undefined when all is well. */
type CrossRule = (config: Sections) => { readonly key: string; readonly message: string } | undefined;

/** Settings of transfer learning that only some of its modes use. */
const fineTuneOnly = ["layer_lr_decay", "unfreeze_epochs", "batch_norm"] as const;
const frozenOnly = ["feature_views"] as const;
const all = [...fineTuneOnly, ...frozenOnly] as const;
/** Pairs of a smallest and a largest value. */
const augmentationRanges = [
  "affine_scale",
  "affine_rotate",
  "random_resized_crop_scale",
  "random_resized_crop_ratio",
  "gamma_range",
  "noise_strength",
  "blur_sigma",
  "random_erasing_scale",
  "random_erasing_ratio",
  "grid_mask_period",
] as const;
const transferDefaults = modelSection.parse({}).transfer;

const crossRules: readonly CrossRule[] = [
  ({ training }) =>
    (training.warmup_epochs ?? 0) > training.num_epochs
      ? { key: "training.warmup_epochs", message: `must not exceed training.num_epochs (${training.num_epochs})` }
      : undefined,
  ({ training, dataset }) =>
    training.early_stopping && dataset.validation_fraction === 0
      ? {
          key: "training.early_stopping",
          message: "needs validation images: set dataset.validation_fraction above 0 or turn it off",
        }
      : undefined,
  ({ training }) =>
    training.overfit_one_batch && training.fast_dev
      ? { key: "training.overfit_one_batch", message: "excludes training.fast_dev: turn one of them off" }
      : undefined,
  ({ model }) =>
    model.transfer_mode === "from_scratch" && model.weights !== null
      ? { key: "model.weights", message: "must be null when model.transfer_mode is from_scratch: choose fine_tune" }
      : undefined,
  ({ model }) =>
    model.transfer_mode !== "from_scratch" && model.weights === null
      ? {
          key: "model.weights",
          message: `must be given when model.transfer_mode is ${model.transfer_mode}: "imagenet" or a path`,
        }
      : undefined,
  ({ model }) =>
    model.name === "imported" && model.transfer_mode === "from_scratch"
      ? {
          key: "model.transfer_mode",
          message: "must not be from_scratch for an imported network, which has no first weights but its own",
        }
      : undefined,
  ({ model }) =>
    model.name === "imported" && model.weights === "imagenet"
      ? { key: "model.weights", message: "must be the path of a model bundle or an ONNX file for an imported network" }
      : undefined,
  ({ model, training }) =>
    model.transfer_mode !== "from_scratch" && training.optimizer === "muon"
      ? {
          key: "training.optimizer",
          message: `must be adamw or sgd when model.transfer_mode is ${model.transfer_mode}`,
        }
      : undefined,
  ({ model }) => {
    const used =
      model.transfer_mode === "fine_tune" ? frozenOnly : model.transfer_mode === "from_scratch" ? all : fineTuneOnly;
    const key = used.find((name) => model.transfer[name] !== transferDefaults[name]);
    return key === undefined
      ? undefined
      : {
          key: `model.transfer.${key}`,
          message: `changes nothing when model.transfer_mode is ${model.transfer_mode}: leave it out`,
        };
  },
  ({ model }) =>
    model.transfer.rcbam_channels !== null && model.transfer_mode !== "RCBAM"
      ? { key: "model.transfer.rcbam_channels", message: "needs model.transfer_mode RCBAM" }
      : undefined,
  ({ dataset }) =>
    dataset.name === "folder" && (dataset.source === "official" || dataset.source === "synthetic")
      ? { key: "dataset.source", message: "must be the path of a folder when dataset.name is folder" }
      : undefined,
  ({ dataset }) =>
    dataset.name === "cifar100" && dataset.source === "synthetic"
      ? { key: "dataset.source", message: "the synthetic set has ten classes: use it with dataset.name cifar10" }
      : undefined,
  ({ augmentation }) =>
    augmentation.coarse_dropout_min_holes > augmentation.coarse_dropout_max_holes
      ? {
          key: "augmentation.coarse_dropout_min_holes",
          message: `must not exceed augmentation.coarse_dropout_max_holes (${augmentation.coarse_dropout_max_holes})`,
        }
      : undefined,
  ...augmentationRanges.map(
    (name): CrossRule =>
      ({ augmentation }) => {
        const [low, high] = augmentation[name];
        return low > high ? { key: `augmentation.${name}`, message: "must give the smaller value first" } : undefined;
      },
  ),
  ({ augmentation }) =>
    augmentation.rand_augment && augmentation.trivial_augment
      ? { key: "augmentation.trivial_augment", message: "excludes augmentation.rand_augment: turn one of them off" }
      : undefined,
  ({ augmentation, model: { transfer_mode: mode } }) => {
    const key = (["mixup", "cutmix"] as const).find((name) => augmentation[name]);
    return key !== undefined && (mode === "classifier_only" || mode === "RCBAM")
      ? {
          key: `augmentation.${key}`,
          message: `mixes images in the training step, but with model.transfer_mode ${mode} that gets features: turn it off`,
        }
      : undefined;
  },
];

/** The configuration: the one source of its types, validation, defaults and documentation. */
export const configSchema = sections.superRefine(checkTogether).transform(resolveDerived);

function checkTogether(config: Sections, context: z.RefinementCtx): void {
  for (const rule of crossRules) {
    const broken = rule(config);
    if (broken !== undefined)
      context.addIssue({ code: "custom", path: broken.key.split("."), message: broken.message, input: config });
  }
  for (const [name, range] of Object.entries(config.ray_tune.parameters)) {
    if ("min" in range && range.min > range.max)
      context.addIssue({
        code: "custom",
        path: ["ray_tune", "parameters", name],
        message: "min must not exceed max",
        input: config,
      });
  }
}

/** Fills in the values that null leaves to other keys. */
function resolveDerived({ training, ...rest }: Sections) {
  const { num_epochs: epochs, scheduler } = training;
  const warmup = scheduler === "triangle" ? epochs / 5 : scheduler === "onecycle" ? (3 * epochs) / 10 : 0;
  return { ...rest, training: { ...training, warmup_epochs: training.warmup_epochs ?? warmup } };
}

type DeepReadonly<T> = T extends readonly unknown[]
  ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [K in keyof T]?: DeepPartial<T[K]> }
    : T;

/** A whole, valid configuration. */
export type Config = DeepReadonly<z.output<typeof configSchema>>;

/** Some keys of a configuration, as a preset gives them. */
export type PartialConfig = DeepPartial<Sections>;
