import { PipelineError } from "../base/errors.ts";
import { valueAtKey } from "./flatten.ts";
import { quoteValue } from "./problem.ts";
import type { Config } from "./schema.ts";

/** A key of which this version supports only some values. Delete the row when the feature is there. */
interface SupportRule {
  readonly key: string;
  readonly supported: (value: unknown, config: Config) => boolean;
  /** What can be set now. */
  readonly possible: string;
}

const only =
  (...values: readonly unknown[]) =>
  (value: unknown): boolean =>
    values.includes(value);

const offOnly = (key: string): SupportRule => ({ key, supported: only(false), possible: "false" });

/** Exact variants, and families for their default variants. */
const availableModels = [
  ...["resnet9", "airbench", "mobilenet_v2"],
  ...["resnet", "resnet18", "resnet50"],
  ...["densenet", "densenet121", "densenet161", "densenet169", "densenet201"],
  ...["regnet", "regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf", "regnet_x_8gf"],
  ...["regnet_x_16gf", "regnet_x_32gf", "regnet_y_400mf", "regnet_y_800mf", "regnet_y_1_6gf", "regnet_y_3_2gf"],
  ...["regnet_y_8gf", "regnet_y_16gf", "regnet_y_32gf"],
];

/** Networks whose channel counts can be multiplied. */
const scalableModels = ["resnet9", "airbench", "mobilenet_v2"];

const oneOf = (names: readonly string[]): string => `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;

const supportRules: readonly SupportRule[] = [
  {
    key: "model.name",
    supported: only(...availableModels),
    possible: oneOf(availableModels),
  },
  { key: "model.transfer_mode", supported: only("from_scratch"), possible: "from_scratch" },
  { key: "model.weights", supported: only(null), possible: "null" },
  {
    key: "model.width",
    supported: (value, { model }) => value === 1 || scalableModels.includes(model.name),
    possible: `1, its default, unless the network is ${oneOf(scalableModels)}`,
  },
  {
    key: "model.airbench.bias_lr_scale",
    supported: (value, { model, training }) =>
      value === 64 || (model.name === "airbench" && training.optimizer === "sgd"),
    possible: "64, its default, unless airbench is trained with the optimiser sgd",
  },
  {
    key: "training.use_amp",
    supported: (value, { training }) => value === false || training.device !== "cpu",
    possible: "false on the device cpu, whose kernels compute in 32 bits only",
  },
  offOnly("augmentation.random_resized_crop"),
  offOnly("augmentation.vertical_flip"),
  { key: "augmentation.rotation_degrees", supported: only(0), possible: "0" },
  offOnly("augmentation.square_symmetry_rotations"),
  offOnly("augmentation.coarse_dropout"),
  offOnly("augmentation.channel_dropout"),
  offOnly("augmentation.color_jitter"),
  offOnly("augmentation.affine"),
  offOnly("augmentation.noise"),
  offOnly("augmentation.blur"),
  offOnly("augmentation.grid_distortion"),
  offOnly("augmentation.elastic_transform"),
  offOnly("augmentation.cutout"),
  offOnly("augmentation.grid_mask"),
  {
    key: "mlflow.tracking_uri",
    supported: (value) => typeof value !== "string" || !/^[a-z][a-z0-9+.-]+:/i.test(value),
    possible: "null or the path of an SQLite file",
  },
  offOnly("mlflow.register_model"),
  offOnly("ray_tune.use_ray_tune"),
  offOnly("distributed.use_distributed"),
];

/** The keys that are limited in this version, for the documentation. */
export const limitedKeys: ReadonlyMap<string, string> = new Map(
  supportRules.map(({ key, possible }) => [key, possible]),
);

/**
 * Refuses what the schema knows but this version cannot do.
 * @param placeOf where the value of a key was given, in words
 * @throws CONFIG_UNSUPPORTED naming every such key, its value and what is possible now
 */
export function checkSupported(config: Config, placeOf: (key: string) => string | undefined = () => undefined): void {
  const refused = supportRules.flatMap(({ key, supported, possible }) => {
    const value = valueAtKey(config, key);
    if (supported(value, config)) return [];
    const place = placeOf(key);
    const where = place === undefined ? "" : ` (${place})`;
    return [
      {
        key,
        value,
        possible,
        text: `${key}: ${quoteValue(value)} is not available yet, possible now: ${possible}${where}`,
      },
    ];
  });
  if (refused.length === 0) return;
  const texts = refused.map(({ text }) => text);
  throw new PipelineError(
    "CONFIG_UNSUPPORTED",
    texts.length === 1 ? texts[0]! : `${texts.length} settings:\n  - ${texts.join("\n  - ")}`,
    {
      details: { refused: refused.map(({ key, value, possible }) => ({ key, value, possible })) },
    },
  );
}
