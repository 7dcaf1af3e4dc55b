import type { ModelVersion, RegisteredModel } from "../registry.ts";
import type { Experiment, Metric, Run } from "../types.ts";

export interface TransferFile {
  /** Below the artifacts of the run. */
  readonly path: string;
  open(): Promise<AsyncIterable<Uint8Array>>;
}

/** A run with all that belongs to it. */
export interface TransferRun {
  readonly run: Run;
  history(key: string): Promise<readonly Metric[]>;
  files(): AsyncIterable<TransferFile>;
}

export interface TransferModel {
  readonly model: RegisteredModel;
  /** Oldest first. */
  readonly versions: readonly ModelVersion[];
}

/** Where runs come from: a store, a server, an mlruns folder. */
export interface TransferSource {
  /** The deleted ones too. */
  experiments(): Promise<readonly Experiment[]>;
  /** Oldest first, so that parents come before their children; the deleted ones too. */
  runs(experiment: Experiment): AsyncIterable<TransferRun>;
  models(): Promise<readonly TransferModel[]>;
}

/** Where runs go to. What is there already is left as it is. */
export interface TransferSink {
  /** @returns its id there */
  experiment(experiment: Experiment): Promise<string>;
  run(
    experimentId: string,
    from: TransferRun,
  ): Promise<{ readonly runId: string; readonly state: "copied" | "present" }>;
  /** @param runIds ids there by ids here */
  model(model: TransferModel, runIds: ReadonlyMap<string, string>): Promise<"copied" | "present">;
}

export interface TransferSummary {
  readonly experiments: number;
  readonly runs: number;
  /** Runs that were there from an earlier transfer. */
  readonly present: number;
  readonly models: number;
}

export interface TransferOptions {
  /** Names; default: all. */
  readonly experiments?: readonly string[];
  readonly signal?: AbortSignal;
  readonly onRun?: (name: string, state: "copied" | "present") => void;
}

/** Copies experiments, runs, artifacts and registered models. Can be repeated: what has arrived is not copied again. */
export async function transfer(
  source: TransferSource,
  sink: TransferSink,
  { experiments, signal, onRun }: TransferOptions = {},
): Promise<TransferSummary> {
  const runIds = new Map<string, string>();
  const summary = { experiments: 0, runs: 0, present: 0, models: 0 };
  for (const experiment of await source.experiments()) {
    if (experiments !== undefined && !experiments.includes(experiment.name)) continue;
    const id = await sink.experiment(experiment);
    summary.experiments += 1;
    for await (const from of source.runs(experiment)) {
      signal?.throwIfAborted();
      const parent = runIds.get(from.run.data.tags.find(({ key }) => key === parentTag)?.value ?? "");
      const { runId, state } = await sink.run(id, parent === undefined ? from : withParent(from, parent));
      runIds.set(from.run.info.runId, runId);
      summary[state === "copied" ? "runs" : "present"] += 1;
      onRun?.(from.run.info.runName, state);
    }
  }
  for (const model of await source.models()) {
    if (experiments !== undefined && !model.versions.some(({ runId }) => runIds.has(runId))) continue;
    if ((await sink.model(model, runIds)) === "copied") summary.models += 1;
  }
  return summary;
}

const parentTag = "mlflow.parentRunId";

/** Ids change on the way: the tag has to name the parent as it is called there. */
function withParent(from: TransferRun, parent: string): TransferRun {
  const { data } = from.run;
  const tags = data.tags.map((tag) => (tag.key === parentTag ? { ...tag, value: parent } : tag));
  return { ...from, run: { ...from.run, data: { ...data, tags } } };
}
