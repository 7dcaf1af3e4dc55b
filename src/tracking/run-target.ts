import { isPipelineError } from "../base/errors.ts";
import type { ArtifactAccess } from "./artifacts.ts";
import { type LoggedSteps, loggedStepsOf, withoutLogged } from "./logged-steps.ts";
import type { Batch, RunInit, RunUpdate, TrackingStore } from "./store.ts";
import type { DatasetInput, Param } from "./types.ts";

export type ArtifactSource = { readonly data: string | Uint8Array } | { readonly file: string };

export interface RunOpening {
  readonly experimentName: string;
  readonly init: RunInit;
  /** Go on with this run instead of starting one. */
  readonly resumeRunId?: string;
}

export interface ModelRegistration {
  readonly name: string;
  readonly aliases: readonly string[];
  /** Of the model among the artifacts of the run. */
  readonly path: string;
}

/**
 * Where one run is written to: a store at once, or an outbox that sends it to a server. A run that goes on takes no metric
 * of a step that it has already.
 */
export interface RunTarget {
  /** The store's id; undefined until it has taken the run. */
  readonly runId: string | undefined;
  /** @returns params that a resumed run has already */
  openRun(opening: RunOpening): Promise<{ readonly takenParams: readonly Param[] }>;
  logBatch(batch: Batch): Promise<void>;
  update(update: RunUpdate): Promise<void>;
  logInputs(datasets: readonly DatasetInput[]): Promise<void>;
  writeArtifact(path: string, source: ArtifactSource): Promise<void>;
  registerModel(model: ModelRegistration): Promise<void>;
}

/** Writes to a store directly. */
export function storeTarget({
  store,
  artifacts,
}: {
  readonly store: TrackingStore;
  readonly artifacts: ArtifactAccess;
}): RunTarget {
  let run: { readonly runId: string; readonly artifactUri: string } | undefined;
  let logged: LoggedSteps = {};
  const opened = () => {
    if (run === undefined) throw new Error("the run is not open");
    return run;
  };
  return {
    get runId() {
      return run?.runId;
    },
    openRun: async ({ experimentName, init, resumeRunId }) => {
      if (resumeRunId !== undefined) {
        const { info, data } = await store.getRun(resumeRunId);
        await store.updateRun(resumeRunId, { status: "RUNNING" });
        run = info;
        logged = loggedStepsOf(data.metrics);
        return { takenParams: data.params };
      }
      run = (await store.createRun(await experimentNamed(store, experimentName), init)).info;
      return { takenParams: [] };
    },
    logBatch: (batch) => store.logBatch(opened().runId, withoutLogged(batch, logged)),
    update: async (update) => {
      await store.updateRun(opened().runId, update);
    },
    logInputs: (datasets) => store.logInputs(opened().runId, { datasets }),
    writeArtifact: (path, source) => {
      const { artifactUri } = opened();
      return "file" in source
        ? artifacts.copyIn(artifactUri, path, source.file)
        : artifacts.write(artifactUri, path, source.data);
    },
    registerModel: async (model) => {
      await registerOnce(store, { ...model, ...opened() });
    },
  };
}

/** The id of an experiment, which is made when there is none of that name. */
export async function experimentNamed(
  store: Pick<TrackingStore, "getExperimentByName" | "createExperiment">,
  name: string,
): Promise<string> {
  const existing = await store.getExperimentByName(name);
  if (existing !== undefined) return existing.experimentId;
  try {
    return (await store.createExperiment(name)).experimentId;
  } catch (error) {
    // Another process may have created it in between.
    const other = isPipelineError(error, "TRACKING_EXISTS") ? await store.getExperimentByName(name) : undefined;
    if (other === undefined) throw error;
    return other.experimentId;
  }
}

/** A run's model gets one version, however often it is asked for. */
export async function registerOnce(
  store: TrackingStore,
  {
    name,
    aliases,
    path,
    runId,
    artifactUri,
  }: ModelRegistration & { readonly runId: string; readonly artifactUri: string },
): Promise<string> {
  try {
    await store.createRegisteredModel(name);
  } catch (error) {
    if (!isPipelineError(error, "TRACKING_EXISTS")) throw error;
  }
  const { items } = await store.searchModelVersions({ filter: `run_id = '${runId}'` });
  const known = items.find((version) => version.name === name);
  const source = `${artifactUri}/${path}`;
  const { version } = known ?? (await store.createModelVersion(name, { source, runId }));
  for (const alias of aliases) await store.setAlias(name, { alias, version });
  return version;
}
