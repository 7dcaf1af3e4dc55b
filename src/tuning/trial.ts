import type { Params } from "./space.ts";

/** A value of the objective after a step. */
export interface Report {
  readonly step: number;
  readonly value: number;
}

/**
 * waiting: to be started, for the first time or again; paused: halted at a rung, to be promoted or not; the last three
 * are final. A pruned trial was stopped on purpose: by the scheduler, by the budget, or because its numbers diverged.
 */
export type TrialStatus = "waiting" | "running" | "paused" | "complete" | "pruned" | "failed";

/** One set of parameters and what came of it. */
export interface Trial {
  readonly number: number;
  readonly params: Params;
  readonly status: TrialStatus;
  /** By step. */
  readonly reports: readonly Report[];
  /** Floating-point operations so far. */
  readonly flops: number;
  /** Processes or jobs that ran it. */
  readonly attempts: number;
  /** Attempts that were lost: killed, hung, or on a machine that went away. */
  readonly losses: number;
  /** Of the running process or job, or of the last one. */
  readonly handle: string | undefined;
  /** The step at which it halts of itself. */
  readonly until: number | undefined;
  /** Why it was told to stop. */
  readonly stopping: "pruned" | "budget" | "interrupted" | undefined;
  /** Why a final trial ended so. */
  readonly reason: string | undefined;
  readonly error: string | undefined;
  readonly runId: string | undefined;
  readonly trackingRunId: string | undefined;
  readonly bundle: string | undefined;
  readonly createdAt: number;
  readonly startedAt: number | undefined;
  readonly endedAt: number | undefined;
  /** Running time of the attempts that have ended. */
  readonly milliseconds: number;
}

export function isFinal({ status }: Trial): boolean {
  return status === "complete" || status === "pruned" || status === "failed";
}

export function lastReport({ reports }: Trial): Report | undefined {
  return reports.at(-1);
}

export type Direction = "minimize" | "maximize";

/** Below 0 when a is the better value. */
export function compareValues(direction: Direction, a: number, b: number): number {
  return direction === "minimize" ? a - b : b - a;
}

/** The best value up to a step; undefined before the first report. */
export function bestValue(
  { reports }: Trial,
  direction: Direction,
  untilStep = Number.POSITIVE_INFINITY,
): number | undefined {
  const values = reports.filter(({ step }) => step <= untilStep).map(({ value }) => value);
  if (values.length === 0) return undefined;
  return direction === "minimize" ? Math.min(...values) : Math.max(...values);
}
