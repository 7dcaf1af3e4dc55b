import { basename, join } from "node:path";
import { isPipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import { openOutbox, sendOutboxes } from "../tracking/client/outbox.ts";
import { type Env, openTracking, trackingTarget } from "../tracking/open.ts";
import { type RunTarget, storeTarget } from "../tracking/run-target.ts";
import type { TrackingStore } from "../tracking/store.ts";
import type { RunFolder } from "./run-folder.ts";

/** How long the start of a training waits to learn the run's id from a server, and its end for what is on its way. */
const startMs = 5000;
const endMs = 30_000;

/** Where this run is recorded. */
export interface RunTracking extends AsyncDisposable {
  readonly target: RunTarget;
  /** For what concerns other runs. */
  readonly store: TrackingStore;
  /** The tracking run to go on with, unless the store has lost it. */
  knownRun(trackingRunId: string | undefined): Promise<string | undefined>;
  /** The id of the run, when the store or server has given one by now. */
  settled(): Promise<string | undefined>;
  /** Waits a while for the server; says what it does not have yet. */
  drain(): Promise<void>;
}

export interface RunTrackingOptions {
  readonly config: Config;
  readonly env: Env;
  readonly run: RunFolder;
  readonly warn: (message: string) => void;
}

/** Folder of what a tracking server has not got yet. */
export function outboxDirectory(config: Config): string {
  return join(config.training.checkpoint_dir, "outbox");
}

/** A store is written to directly, a server through an outbox on disk: a training goes on when it is away. */
export async function openRunTracking({ config, env, run, warn }: RunTrackingOptions): Promise<RunTracking> {
  const place = trackingTarget(config.mlflow.tracking_uri, env);
  if (place.kind === "store") {
    const { store, artifacts } = await openTracking(place);
    const target = storeTarget({ store, artifacts });
    return {
      target,
      store,
      knownRun: (id) => knownRun(store, id, warn),
      settled: async () => target.runId,
      drain: async () => undefined,
      [Symbol.asyncDispose]: () => store.close(),
    };
  }
  // The outbox repeats by itself.
  const { store, artifacts } = await openTracking(place, { retries: 0 });
  const root = outboxDirectory(config);
  const name = basename(run.directory);
  const text = (error: unknown): string => (error instanceof Error ? error.message : String(error));
  const onRefused = (error: unknown): void => warn(`the server refused a record: ${text(error)}`);
  const outbox = await openOutbox({
    directory: join(root, name),
    store,
    artifacts,
    onRefused,
    onAway: (error) => warn(`${text(error)}; records are kept in ${join(root, name)} and sent when it is back`),
  });
  return {
    target: outbox,
    store,
    knownRun: async (id) => id,
    settled: async () => {
      const deadline = Date.now() + startMs;
      await outbox.drain(startMs);
      return Date.now() < deadline || outbox.runId !== undefined ? outbox.runId : undefined;
    },
    drain: async () => {
      if ((await outbox.drain(endMs)) > 0) {
        warn(`the rest of this run waits in ${join(root, name)}; send it with \`cifar track sync\``);
        return;
      }
      const { sent, left } = await sendOutboxes(root, { store, artifacts, onRefused, maxMs: endMs, except: name });
      if (sent > 0) warn(`${sent} earlier runs that waited have been sent`);
      if (left > 0) warn(`${left} earlier runs still wait in ${root}`);
    },
    [Symbol.asyncDispose]: async () => {
      await outbox.close();
      await store.close();
    },
  };
}

async function knownRun(
  store: TrackingStore,
  trackingRunId: string | undefined,
  warn: (message: string) => void,
): Promise<string | undefined> {
  if (trackingRunId === undefined) return undefined;
  try {
    return (await store.getRun(trackingRunId)).info.runId;
  } catch (error) {
    if (!isPipelineError(error, "TRACKING_NOT_FOUND")) throw error;
    warn(`the store does not know run ${trackingRunId} any more; a new one is recorded`);
    return undefined;
  }
}
