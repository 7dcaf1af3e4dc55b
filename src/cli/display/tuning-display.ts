import type { SweepEvent, SweepOutcome } from "../../experiments/tune.ts";
import { parameterImportance } from "../../tuning/importance.ts";
import type { Params } from "../../tuning/space.ts";
import { bestTrial, type Study } from "../../tuning/study.ts";
import type { StudyEvent } from "../../tuning/study-event.ts";
import { bestValue, isFinal, lastReport, type Trial } from "../../tuning/trial.ts";
import { invocation } from "../invocation.ts";
import { duration, figure, short } from "./format.ts";
import { type Progress, startProgress } from "./progress.ts";
import { note, print, type Terminal, table } from "./terminal.ts";

export interface TuningDisplay {
  onEvent(event: SweepEvent): void;
  onOutcome(outcome: SweepOutcome): void;
  stop(): void;
}

/** Shows a sweep to people: a bar over all trials, a line for each trial that starts or ends. */
export function tuningDisplay(terminal: Terminal): TuningDisplay {
  let bar: Progress | undefined;
  let total = 0;
  let study: Study | undefined;
  const shares = new Map<number, number>();
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
  };
  const line = (text: string): void => {
    stop();
    print(terminal, text);
  };
  const showBar = (): void => {
    if (study === undefined) return;
    const final = study.trials.filter(isFinal).length;
    const running = study.trials.filter(({ status }) => status === "running");
    const parts = running.map(({ number }) => `trial ${number} ${Math.round(100 * (shares.get(number) ?? 0))} %`);
    const best = bestTrial(study, ({ status }) => status !== "failed");
    const value =
      best === undefined ? "" : `best ${figure(bestValue(best, study.direction)!)} (trial ${best.number})  `;
    bar ??= startProgress(terminal, "sweep");
    bar.update(final, Math.max(total, study.trials.length), `${final}/${total} trials  ${value}${parts.join("  ")}`);
  };

  const onStudyEvent = (event: StudyEvent, now: Study): void => {
    study = now;
    const trial = "trial" in event ? now.trials[event.trial] : undefined;
    if (event.type === "started" && trial !== undefined) {
      const again = trial.attempts > 1 ? " goes on" : "";
      line(`trial ${trial.number}${again}  ${describeParams(trial.params)}`);
    } else if (event.type === "ended" && trial !== undefined) {
      line(`trial ${trial.number} ${describeEnd(trial, event.reason, now)}`);
    }
    showBar();
  };

  return {
    stop,
    onEvent(event) {
      switch (event.type) {
        case "sweep": {
          total = event.trials;
          const at = event.slots === 1 ? "one trial at a time" : `${event.slots} trials at a time`;
          line(
            `study ${event.studyId}${event.resumed ? " (resumed)" : ""} in ${event.directory}: ${total} trials, ${at}, ${event.executor}`,
          );
          break;
        }
        case "study":
          onStudyEvent(event.event, event.study);
          break;
        case "progress":
          shares.set(event.trial, event.steps === 0 ? 0 : event.step / event.steps);
          showBar();
          break;
        case "tuned":
          stop();
          break;
        case "warning":
          stop();
          note(terminal, `warning: ${event.message}`);
          break;
        default:
          event satisfies never;
      }
    },
    onOutcome({ study: after, best }) {
      stop();
      if (best === undefined) return;
      print(terminal);
      for (const row of trialTable(after)) print(terminal, row);
      const importance = parameterImportance(after);
      if (importance.length > 0) {
        const shown = importance.map(({ parameter, share }) => `${lastName(parameter)} ${Math.round(100 * share)} %`);
        print(terminal, `importance: ${shown.join(", ")}`);
      }
      print(
        terminal,
        `best: trial ${best.trial}, ${after.metric} ${figure(best.value)}, ${duration(after.milliseconds / 1000)} in all`,
      );
      print(terminal, `model bundle ${best.bundle.directory}`);
      print(
        terminal,
        `configuration ${best.configFile}; train with it: ${invocation()} train --config ${best.configFile}`,
      );
    },
  };
}

const mostRows = 12;

/** The trials, the best first. */
function trialTable({ trials, direction, metric }: Study): readonly string[] {
  const worst = direction === "minimize" ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  const sign = direction === "minimize" ? 1 : -1;
  const score = (trial: Trial): number => sign * (bestValue(trial, direction) ?? worst);
  const sorted = [...trials].sort((a, b) => score(a) - score(b) || a.number - b.number);
  return [
    ...table([
      ["trial", metric, "epochs", "time", "FLOP", "status", "parameters"],
      ...sorted.slice(0, mostRows).map((trial) => {
        const value = bestValue(trial, direction);
        return [
          String(trial.number),
          value === undefined ? "" : figure(value),
          String(lastReport(trial)?.step ?? 0),
          duration(trial.milliseconds / 1000),
          short(trial.flops),
          trial.status,
          describeParams(trial.params),
        ];
      }),
    ]),
    ...(sorted.length > mostRows ? [`… and ${sorted.length - mostRows} more`] : []),
  ];
}

function describeEnd(trial: Trial, reason: string, { metric, direction }: Study): string {
  const value = bestValue(trial, direction);
  const what = value === undefined ? "" : `  ${metric} ${figure(value)}`;
  const step = lastReport(trial)?.step ?? 0;
  const why = trial.error === undefined ? "" : `: ${trial.error}`;
  return `${reason} after epoch ${step}${what}${why}`;
}

function describeParams(params: Params): string {
  return Object.entries(params)
    .map(([name, value]) => `${lastName(name)}=${typeof value === "number" ? figure(value) : value}`)
    .join(" ");
}

function lastName(key: string): string {
  return key.slice(key.lastIndexOf(".") + 1);
}
