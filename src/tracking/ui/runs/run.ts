export type RunStatus = "RUNNING" | "SCHEDULED" | "FINISHED" | "FAILED" | "KILLED";

/** A data set as it was logged, in MLflow's words. */
export interface DatasetInput {
  readonly dataset: { readonly name: string; readonly digest: string };
  readonly tags?: readonly { readonly key: string; readonly value: string }[];
}

/** A run in the form that the page works with. */
export interface Run {
  readonly id: string;
  readonly name: string;
  readonly status: RunStatus;
  /** In milliseconds since 1970, as `end`, which a running one lacks. */
  readonly start: number;
  readonly end: number | undefined;
  readonly experiment: string;
  readonly user: string;
  /** Last values. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly params: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly datasets: readonly DatasetInput[];
}

export function elapsed({ start, end }: Run): number {
  return (end ?? Date.now()) - start;
}

/** Metrics of the machine are shown apart from those of the model. */
export function isSystemMetric(key: string): boolean {
  return key.startsWith("system/");
}
