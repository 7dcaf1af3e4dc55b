import type { TerminalStatus } from "../tracking/types.ts";

/** How a run can end; run.json says it in these words. A run that was killed says "running" until another sees it. */
export const runEnds = ["finished", "stopped", "pruned", "failed", "killed"] as const;
export type RunEnd = (typeof runEnds)[number];

/** The same in the words of the tracking store, which has no more than three; the tag training.stop_reason has the rest. */
export const trackedEnd = {
  finished: "FINISHED",
  stopped: "KILLED",
  pruned: "KILLED",
  failed: "FAILED",
  killed: "KILLED",
} as const satisfies Record<RunEnd, TerminalStatus>;

/** How a run ended whose training has come back: `reason` is what its outcome says. */
export function endOf(reason: string): RunEnd {
  return reason === "aborted" ? "stopped" : "finished";
}

/** Why a run was stopped: the reason of the signal where it is a text. */
export function stopReasonOf({ reason }: AbortSignal): string {
  return typeof reason === "string" ? reason : "interrupted";
}
