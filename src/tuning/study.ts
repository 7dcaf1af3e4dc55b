import { PipelineError } from "../base/errors.ts";
import { createSpace, type Dimension, type Space } from "./space.ts";
import type { StudyEvent, StudyHead } from "./study-event.ts";
import { bestValue, compareValues, type Direction, type Trial } from "./trial.ts";

/** What is known of a sweep. Never changed: each event makes a new one. */
export interface Study {
  readonly studyId: string;
  readonly metric: string;
  readonly direction: Direction;
  readonly space: Space;
  readonly sampler: string;
  readonly pruner: string;
  readonly maxSteps: number;
  readonly createdAt: number;
  readonly trials: readonly Trial[];
  /** Run in the tracking store that the trials are nested under. */
  readonly parentRunId: string | undefined;
  /** Time that tuners have spent, without the pauses between them. */
  readonly milliseconds: number;
  readonly lastEventAt: number;
  readonly finished: { readonly best: number | undefined; readonly bundle: string | undefined } | undefined;
}

export function startStudy(head: StudyHead): Study {
  const { studyId, metric, direction, sampler, pruner, maxSteps, at } = head;
  return {
    ...{ studyId, metric, direction, sampler, pruner, maxSteps },
    space: createSpace(head.space.dimensions as Record<string, Dimension>),
    createdAt: at,
    trials: [],
    parentRunId: undefined,
    milliseconds: 0,
    lastEventAt: at,
    finished: undefined,
  };
}

/** @throws STUDY_DAMAGED for an event that can't follow what was before */
export function applyEvent(study: Study, event: StudyEvent): Study {
  if (event.type === "study") throw damaged(study, "it begins twice");
  const { at } = event;
  // Between two sessions no tuner was there.
  const passed = event.type === "session" ? 0 : Math.max(0, at - study.lastEventAt);
  const next = { ...study, lastEventAt: at, milliseconds: study.milliseconds + passed };
  if (event.type === "session") return { ...next, parentRunId: event.parentRunId ?? study.parentRunId };
  if (event.type === "finished") return { ...next, finished: { best: event.best, bundle: event.bundle } };
  if (event.type === "created") {
    if (event.trial !== study.trials.length) throw damaged(study, `trial ${event.trial} is out of order`);
    return { ...next, trials: [...study.trials, newTrial(event)] };
  }
  const trial = study.trials[event.trial];
  if (trial === undefined) throw damaged(study, `trial ${event.trial} was never created`);
  const trials = [...study.trials];
  trials[event.trial] = applyToTrial(trial, event);
  return { ...next, trials };
}

type TrialEvent = Extract<StudyEvent, { type: "started" | "run" | "report" | "stopping" | "ended" }>;

function applyToTrial(trial: Trial, event: TrialEvent): Trial {
  switch (event.type) {
    case "started": {
      const { handle, until, at } = event;
      const attempts = trial.attempts + 1;
      return { ...trial, status: "running", handle, until, attempts, stopping: undefined, startedAt: at };
    }
    case "run":
      return { ...trial, runId: event.runId, trackingRunId: event.trackingRunId };
    case "report": {
      const { step, value, flops } = event;
      const others = trial.reports.filter((report) => report.step !== step);
      const reports = [...others, { step, value }].sort((a, b) => a.step - b.step);
      return { ...trial, reports, flops: Math.max(trial.flops, flops) };
    }
    case "stopping":
      return { ...trial, stopping: event.reason };
    case "ended": {
      const { at, reason, error, bundle } = event;
      const milliseconds = trial.milliseconds + (trial.startedAt === undefined ? 0 : Math.max(0, at - trial.startedAt));
      return {
        ...{ ...trial, milliseconds, reason, error, endedAt: at },
        status: statusAfter[reason],
        losses: trial.losses + (reason === "lost" ? 1 : 0),
        bundle: bundle ?? trial.bundle,
      };
    }
    default:
      return event satisfies never;
  }
}

const statusAfter = {
  complete: "complete",
  pruned: "pruned",
  diverged: "pruned",
  budget: "pruned",
  paused: "paused",
  failed: "failed",
  lost: "waiting",
  interrupted: "waiting",
} as const satisfies Record<Extract<StudyEvent, { type: "ended" }>["reason"], Trial["status"]>;

function newTrial({ trial: number, params, at }: Extract<StudyEvent, { type: "created" }>): Trial {
  return {
    ...{ number, params, createdAt: at },
    status: "waiting",
    reports: [],
    ...{ flops: 0, attempts: 0, losses: 0, milliseconds: 0 },
    ...{ handle: undefined, until: undefined, stopping: undefined, reason: undefined, error: undefined },
    ...{ runId: undefined, trackingRunId: undefined, bundle: undefined, startedAt: undefined, endedAt: undefined },
  };
}

/** The trial with the best value; of equal ones the first. Complete ones go before those that were cut short. */
export function bestTrial(
  { trials, direction }: Pick<Study, "trials" | "direction">,
  wanted: (trial: Trial) => boolean = (trial) => trial.status === "complete",
): Trial | undefined {
  let best: { readonly trial: Trial; readonly value: number } | undefined;
  for (const trial of trials) {
    const value = wanted(trial) ? bestValue(trial, direction) : undefined;
    if (value === undefined) continue;
    if (best === undefined || compareValues(direction, value, best.value) < 0) best = { trial, value };
  }
  return best?.trial;
}

export function totalFlops({ trials }: Pick<Study, "trials">): number {
  return trials.reduce((sum, { flops }) => sum + flops, 0);
}

function damaged({ studyId }: Study, what: string): PipelineError {
  return new PipelineError("STUDY_DAMAGED", `the journal of study ${studyId} can't be followed: ${what}`, {
    remedy: "start a new study; the journal can be read as text",
    details: { studyId },
  });
}
