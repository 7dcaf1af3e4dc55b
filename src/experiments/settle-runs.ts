import { isPipelineError } from "../base/errors.ts";
import type { RunStore } from "../tracking/store.ts";
import { type RunEnd, trackedEnd } from "./run-end.ts";
import { listRuns, lockAbandoned, type RunFolder, updateRun } from "./run-folder.ts";

type EndStore = Pick<RunStore, "getRun" | "updateRun" | "setTag">;

export interface SettleOptions {
  readonly store: EndStore;
  readonly now: () => Date;
  readonly warn: (message: string) => void;
}

/**
 * Ends the runs that could not tell their end: those whose process was killed, and those whose tracking store could not be
 * written to when they ended (it lay on a disk that was full). A run that somebody trains is left alone.
 */
export async function settleRuns(root: string, options: SettleOptions): Promise<void> {
  for (const run of await listRuns(root)) {
    const { runId, status } = run.record;
    try {
      if (status !== "running") {
        if (run.record.isEndUntold === true) await settle(run, status, options);
        continue;
      }
      await using lock = await lockAbandoned(run, options.now());
      if (lock === undefined) continue;
      await settle(run, "killed", options);
      options.warn(`run ${runId} was killed while it trained; go on with it by --resume ${runId}`);
    } catch (error) {
      if (!isPipelineError(error)) throw error;
      options.warn(`how run ${runId} ended could not be recorded: ${error.message}`);
    }
  }
}

/** Says in its tracking run and then in run.json how a run ended. @throws what store and disk throw */
export async function settle(
  run: RunFolder,
  end: RunEnd,
  { store, now }: Pick<SettleOptions, "store" | "now">,
): Promise<RunFolder> {
  const { trackingRunId } = run.record;
  if (trackingRunId !== undefined) await endTracked(store, { trackingRunId, end, at: now() });
  return updateRun(run, { status: end });
}

/** A tracking run that is over already keeps its status and its end, and is told the word for it. */
export async function endTracked(
  store: EndStore,
  { trackingRunId, end, at }: { readonly trackingRunId: string; readonly end: RunEnd; readonly at: Date },
): Promise<void> {
  try {
    const { info } = await store.getRun(trackingRunId);
    if (end === "pruned" || end === "killed") {
      await store.setTag(trackingRunId, { key: "training.stop_reason", value: end });
    }
    if (info.status !== "RUNNING") return;
    await store.updateRun(trackingRunId, { status: trackedEnd[end], endTime: at.getTime() });
  } catch (error) {
    // Somebody has deleted it.
    if (!isPipelineError(error, "TRACKING_NOT_FOUND")) throw error;
  }
}
