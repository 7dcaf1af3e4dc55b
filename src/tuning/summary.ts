import { type Importance, parameterImportance } from "./importance.ts";
import { bestTrial, type Study, totalFlops } from "./study.ts";
import { bestValue, type Trial } from "./trial.ts";

/** One trial for a page or a program. */
export interface TrialState {
  readonly number: number;
  readonly status: Trial["status"];
  readonly reason: string | null;
  readonly params: Trial["params"];
  readonly value: number | null;
  readonly reports: Trial["reports"];
  readonly flops: number;
  readonly seconds: number;
  readonly attempts: number;
  readonly error: string | null;
  readonly runId: string | null;
}

/** A study as JSON: the artifact tuning/state.json that a page can poll while the sweep runs. */
export interface StudyState {
  readonly formatVersion: 1;
  readonly studyId: string;
  readonly metric: string;
  readonly direction: Study["direction"];
  readonly sampler: string;
  readonly scheduler: string;
  readonly maxSteps: number;
  readonly space: Study["space"]["dimensions"];
  /** Milliseconds since 1970 of what is told here. */
  readonly updatedAt: number;
  readonly seconds: number;
  readonly flops: number;
  readonly finished: boolean;
  readonly counts: Readonly<Record<Trial["status"], number>>;
  readonly best: { readonly trial: number; readonly value: number } | null;
  readonly trials: readonly TrialState[];
}

export function studyState(study: Study): StudyState {
  const { studyId, metric, direction, sampler, pruner, maxSteps, space, trials } = study;
  const counts = { waiting: 0, running: 0, paused: 0, complete: 0, pruned: 0, failed: 0 };
  for (const { status } of trials) counts[status]++;
  return {
    formatVersion: 1,
    ...{ studyId, metric, direction, sampler, scheduler: pruner, maxSteps, space: space.dimensions },
    updatedAt: study.lastEventAt,
    seconds: study.milliseconds / 1000,
    flops: totalFlops(study),
    finished: study.finished !== undefined,
    counts,
    best: bestOf(study),
    trials: trials.map((trial) => ({
      number: trial.number,
      status: trial.status,
      reason: trial.reason ?? null,
      params: trial.params,
      value: bestValue(trial, direction) ?? null,
      reports: trial.reports,
      flops: trial.flops,
      seconds: trial.milliseconds / 1000,
      attempts: trial.attempts,
      error: trial.error ?? null,
      runId: trial.trackingRunId ?? trial.runId ?? null,
    })),
  };
}

/** What came of a finished sweep. */
export interface StudySummary extends StudyState {
  readonly importance: readonly Importance[];
}

export function studySummary(study: Study): StudySummary {
  return { ...studyState(study), importance: parameterImportance(study) };
}

function bestOf(study: Study): StudyState["best"] {
  const trial = bestTrial(study) ?? bestTrial(study, ({ status }) => status !== "failed");
  const value = trial && bestValue(trial, study.direction);
  return trial === undefined || value === undefined ? null : { trial: trial.number, value };
}
