import type { PartialConfig } from "./schema.ts";

/**
 * github.com/KellerJordan/cifar10-airbench, airbench94: lr 11.5 and weight decay 0.0153 for each 1024 examples, divided
 * by 1 + 1 / (1 - momentum) = 7.667, of the summed loss. For the loss averaged over 1024 images that is lr 11.5 / 7.667
 * = 1.5 and, as SGD adds the decay to the gradient, weight decay 0.0153 / 11.5 = 0.00133.
 */
const airbench94 = {
  model: { name: "airbench", width: 1 },
  training: {
    batch_size: 1024,
    num_epochs: 10,
    optimizer: "sgd",
    learning_rate: 1.5,
    momentum: 0.85,
    weight_decay: 0.00133,
    scheduler: "triangle",
    warmup_epochs: 2.3,
    initial_lr_fraction: 0.2,
    final_lr_fraction: 0.07,
    label_smoothing: 0.2,
    lookahead: true,
    early_stopping: false,
  },
  augmentation: {
    use_augmentation: true,
    random_crop: true,
    crop_padding: 2,
    crop_border: "reflect",
    horizontal_flip: "alternating",
  },
  evaluation: { tta: "mirror_shift" },
} as const satisfies PartialConfig;

/** SGD for a published network on small images: its deep stacks of batch norms want a lower rate than resnet9's. */
const published = (name: "mobilenet" | "efficientnet" | "densenet" | "regnet") =>
  ({
    model: { name, width: 1 },
    training: {
      batch_size: 64,
      num_epochs: 20,
      optimizer: "sgd",
      learning_rate: 0.05,
      momentum: 0.9,
      weight_decay: 5e-4,
      scheduler: "triangle",
      label_smoothing: 0.1,
      lookahead: false,
    },
    augmentation: { use_augmentation: true, random_crop: true, crop_padding: 4, horizontal_flip: true },
  }) as const satisfies PartialConfig;

/** Named sets of values, chosen with --preset. A preset changes only the keys that it names. */
export const presets = {
  /** About two minutes on two cores: what `npm start` trains. */
  quick: {
    ...airbench94,
    model: { name: "airbench", width: 0.5 },
    training: { ...airbench94.training, batch_size: 512, learning_rate: 0.75, num_epochs: 3, warmup_epochs: 0.7 },
  },
  airbench94,
  /** airbench94 with Muon for the filters: batch 2000, 8 epochs, learning rate falling linearly to 0. */
  airbench94_muon: {
    ...airbench94,
    model: { name: "airbench", width: 1, airbench: { logit_scale: 1 / 256 } },
    training: {
      ...airbench94.training,
      batch_size: 2000,
      num_epochs: 8,
      optimizer: "muon",
      learning_rate: 0.24,
      momentum: 0.6,
      weight_decay: 0,
      warmup_epochs: 0,
      initial_lr_fraction: 1,
      final_lr_fraction: 0,
      lookahead: false,
    },
  },
  /** The defaults of the schema, spelled out: one-cycle SGD on resnet9. */
  resnet9: {
    model: { name: "resnet9", width: 1 },
    training: {
      batch_size: 256,
      num_epochs: 10,
      optimizer: "sgd",
      learning_rate: 0.2,
      momentum: 0.9,
      weight_decay: 5e-4,
      scheduler: "triangle",
      label_smoothing: 0.1,
      lookahead: false,
    },
    augmentation: { use_augmentation: true, random_crop: true, crop_padding: 4, horizontal_flip: true },
  },
  mobilenet: published("mobilenet"),
  efficientnet: published("efficientnet"),
  densenet: published("densenet"),
  regnet: published("regnet"),
} as const satisfies Readonly<Record<string, PartialConfig>>;

export type PresetName = keyof typeof presets;

export const presetNames = Object.keys(presets) as readonly PresetName[];
