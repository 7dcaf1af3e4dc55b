import { PipelineError } from "../base/errors.ts";

/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** Dotted key, or "" when the problem is the file's. */
  readonly key: string;
  /** The whole sentence for people, with place and suggestion. */
  readonly text: string;
  /** The offending value, where there is one. */
  readonly value?: unknown;
  /** Where the value was given: "config.yaml:12", "--set training.batch_size=0", "preset quick". */
  readonly place?: string;
}

/** One error that lists every problem. */
export function invalidConfig(problems: readonly ConfigProblem[]): PipelineError {
  const [first] = problems;
  const message =
    problems.length === 1 && first !== undefined
      ? `invalid configuration: ${first.text}`
      : `invalid configuration, ${problems.length} problems:\n${problems.map(({ text }) => `  - ${text}`).join("\n")}`;
  return new PipelineError("CONFIG_INVALID", message, { details: { problems } });
}

/** A value as it may be quoted in a message: JSON, cut to a readable length. */
export function quoteValue(value: unknown): string {
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
