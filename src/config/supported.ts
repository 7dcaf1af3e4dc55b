import { PipelineError } from "../base/errors.ts";
import { architectureNames } from "../models/catalogue.ts";
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

/** Networks without strides in the first layers. */
const small: readonly string[] = architectureNames(({ stem }) => stem === "small");

/** Networks whose channel counts can be multiplied. */
const scalableModels: readonly string[] = architectureNames(({ scalable }) => scalable === true);

const oneOf = (names: readonly string[]): string => `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;

const supportRules: readonly SupportRule[] = [
  {
    key: "model.stem",
    supported: (value, { model }) => value === "auto" || ![...small, "imported"].includes(model.name),
    possible: `auto, its default, with ${oneOf(small)}, which are made for small images, and with imported networks`,
  },
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
  {
    key: "mlflow.tracking_uri",
    supported: (value) =>
      typeof value !== "string" ||
      /^(https?|postgres(ql)?|sqlite):\/\//i.test(value) ||
      !/^([a-z][a-z0-9+.-]+:|databricks$)/i.test(value),
    possible: "null, the path of an SQLite file, postgresql://… or the http(s)://… of an MLflow server",
  },
  {
    key: "mlflow.register_model",
    supported: (value, { mlflow }) => value === false || mlflow.log_model,
    possible: "false, unless mlflow.log_model is true",
  },
  {
    key: "distributed.backend",
    supported: (value, { distributed }) => value !== "nccl" || !distributed.use_distributed,
    possible: "gloo (over TCP) or mpi: nccl needs NVIDIA GPUs and a library that is not part of this program",
  },
  {
    key: "distributed.compression",
    supported: (value, { distributed }) => value === "none" || distributed.backend !== "mpi",
    possible: "none with the backend mpi, which has no float16 numbers to sum",
  },
  {
    key: "distributed.local_steps",
    supported: (value, { distributed }) => value === 1 || !distributed.sync_batch_norm,
    possible: "1 with distributed.sync_batch_norm, for which all processes have to take each step together",
  },
  {
    key: "training.gradient_accumulation",
    supported: (value, { training, distributed }) =>
      training.batch_size % Number(value) === 0 && (value === 1 || !distributed.sync_batch_norm),
    possible: "a divisor of training.batch_size; 1 with distributed.sync_batch_norm, which takes each batch whole",
  },
  offOnly("distributed.use_gpu"),
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
