import type { ModelVersion, RegisteredModel } from "../registry.ts";
import type { Experiment, LoggedModel, Metric, ModelOutput, Run } from "../types.ts";

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

/** A model that a run has logged. */
export interface TransferLoggedModel {
  readonly model: LoggedModel;
  /** Below the artifacts of the model. */
  files(): AsyncIterable<TransferFile>;
}

/** The logged models that a run took and made. */
export interface RunLinks {
  readonly modelIds: readonly string[];
  readonly outputs: readonly ModelOutput[];
}

/** What runs and logged models are called there, by what they are called here. */
export interface CopiedIds {
  readonly runs: ReadonlyMap<string, string>;
  readonly loggedModels: ReadonlyMap<string, string>;
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
  /** Oldest first, without the deleted ones. */
  loggedModels(experiment: Experiment): AsyncIterable<TransferLoggedModel>;
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
  loggedModel(
    experimentId: string,
    from: TransferLoggedModel,
    copied: CopiedIds,
  ): Promise<{ readonly modelId: string; readonly state: "copied" | "present" }>;
  /** Ties a run to models, all by their ids there; can be repeated. */
  links(runId: string, links: RunLinks): Promise<void>;
  model(model: TransferModel, copied: CopiedIds): Promise<"copied" | "present">;
}

export interface TransferSummary {
  readonly experiments: number;
  readonly runs: number;
  /** Runs that were there from an earlier transfer. */
  readonly present: number;
  readonly loggedModels: number;
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
  const runs = new Map<string, string>();
  const loggedModels = new Map<string, string>();
  const copied: CopiedIds = { runs, loggedModels };
  const linked: { readonly runId: string; readonly run: Run }[] = [];
  const summary = { experiments: 0, runs: 0, present: 0, loggedModels: 0, models: 0 };
  for (const experiment of await source.experiments()) {
    if (experiments !== undefined && !experiments.includes(experiment.name)) continue;
    const id = await sink.experiment(experiment);
    summary.experiments += 1;
    for await (const from of source.runs(experiment)) {
      signal?.throwIfAborted();
      const { info, data, inputs, outputs } = from.run;
      const parent = runs.get(data.tags.find(({ key }) => key === parentTag)?.value ?? "");
      const { runId, state } = await sink.run(id, parent === undefined ? from : withParent(from, parent));
      runs.set(info.runId, runId);
      if (inputs.modelIds.length + outputs.length > 0) linked.push({ runId, run: from.run });
      summary[state === "copied" ? "runs" : "present"] += 1;
      onRun?.(info.runName, state);
    }
    for await (const from of source.loggedModels(experiment)) {
      signal?.throwIfAborted();
      const { modelId, state } = await sink.loggedModel(id, from, copied);
      loggedModels.set(from.model.modelId, modelId);
      if (state === "copied") summary.loggedModels += 1;
    }
  }
  // A run may have taken a model of any experiment: all are there now.
  for (const { runId, run } of linked) {
    const of = (modelId: string) => loggedModels.get(modelId) ?? [];
    await sink.links(runId, {
      modelIds: run.inputs.modelIds.flatMap(of),
      outputs: run.outputs.flatMap(({ modelId, step }) => [of(modelId)].flat().map((id) => ({ modelId: id, step }))),
    });
  }
  for (const model of await source.models()) {
    if (experiments !== undefined && !model.versions.some(({ runId }) => runs.has(runId))) continue;
    if ((await sink.model(model, copied)) === "copied") summary.models += 1;
  }
  return summary;
}

/** The logged model that a version was made of; nothing for one that lies among the files of a run. */
export function loggedModelOf({ modelId, source }: ModelVersion): string {
  return modelId || (/\bm-[0-9a-f]{32}\b/.exec(source)?.[0] ?? "");
}

const parentTag = "mlflow.parentRunId";

/** Ids change on the way: the tag has to name the parent as it is called there. */
function withParent(from: TransferRun, parent: string): TransferRun {
  const { data } = from.run;
  const tags = data.tags.map((tag) => (tag.key === parentTag ? { ...tag, value: parent } : tag));
  return { ...from, run: { ...from.run, data: { ...data, tags } } };
}
