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

const supportRules: readonly SupportRule[] = [
  {
    key: "model.name",
    supported: only("resnet9", "airbench", "mobilenet_v2"),
    possible: "resnet9, airbench or mobilenet_v2",
  },
  { key: "model.transfer_mode", supported: only("from_scratch"), possible: "from_scratch" },
  { key: "model.weights", supported: only(null), possible: "null" },
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
