import { isPipelineError, PipelineError } from "../base/errors.ts";
import { createRng } from "../base/rng.ts";
import type { RunningJob, TrialExecutor, TrialJob, TrialResources } from "./executors/executor.ts";
import type { StudyJournal } from "./journal.ts";
import { messageQueue } from "./message-queue.ts";
import type { Pruner } from "./pruners/pruner.ts";
import type { Sampler } from "./samplers/sampler.ts";
import type { Params } from "./space.ts";
import { bestTrial, type Study, totalFlops } from "./study.ts";
import type { StudyEvent } from "./study-event.ts";
import type { Trial } from "./trial.ts";
import { parseTrialMessage, type TrialMessage } from "./trial-message.ts";

export interface Budget {
  readonly trials: number;
  /** Time of all tuners that worked on the study. */
  readonly milliseconds?: number | undefined;
  readonly flops?: number | undefined;
}

/** One attempt at a trial. */
export interface Attempt {
  readonly trial: Trial;
  /** Unique in the study: "trial-0003-2". */
  readonly jobId: string;
  /** The step at which it halts of itself. */
  readonly until: number;
}

export interface TunerOptions {
  readonly journal: StudyJournal;
  readonly sampler: Sampler;
  readonly pruner: Pruner;
  readonly executor: TrialExecutor;
  readonly budget: Budget;
  readonly resources: TrialResources;
  readonly seed: number;
  /** Says why parameters can't be used; undefined: they can. */
  readonly refuse?: (params: Params) => string | undefined;
  /** Where the file lies that tells a trial's process what to do. */
  readonly specFile: (jobId: string, trial: Trial) => string;
  /** Writes that file. */
  readonly prepare: (attempt: Attempt) => Promise<void>;
  /** Attempts that may be lost before a trial counts as failed. */
  readonly maxLosses: number;
  /** A trial that says nothing for so long is a zombie. */
  readonly heartbeatTimeoutMs: number;
  /** Aborting lets running trials save and ends the sweep; it can be resumed. */
  readonly signal: AbortSignal;
  readonly now?: () => number;
}

/** What a sweep tells. */
export type TunerEvent =
  | { readonly type: "study"; readonly event: StudyEvent; readonly study: Study }
  | { readonly type: "progress"; readonly trial: number; readonly step: number; readonly steps: number }
  | { readonly type: "warning"; readonly message: string };

/** exhausted: the sampler has nothing left to try. */
export type SweepEnd = "completed" | "budget" | "exhausted" | "interrupted";

interface Active {
  readonly trial: number;
  readonly job: RunningJob;
  lastWord: number;
  killed: boolean;
  result: Extract<TrialMessage, { type: "result" }> | undefined;
  /** Metrics that were reported: named where the wanted one is not among them. */
  readonly metrics: Set<string>;
}

type Message =
  | { readonly type: "line"; readonly active: Active; readonly line: string }
  | { readonly type: "ended"; readonly active: Active; readonly detail: string };

interface Work {
  readonly trial: Trial;
  readonly until: number;
}

type NewEvent = Parameters<StudyJournal["append"]>[0];

const pollMs = 500;
const slotsIntervalMs = 10_000;
const mostRefusals = 6;
/** So many failures and nothing else: the cause is not in the parameters. */
const hopelessFailures = 3;

/**
 * Runs a sweep. Every change of state is in the journal before it is acted upon, so the sweep can be killed at any
 * moment and taken up again.
 * @throws TUNING_FAILED when the first trials all fail, and what executor, journal and callbacks throw
 */
export async function* tune(options: TunerOptions): AsyncGenerator<TunerEvent, SweepEnd> {
  const sweep = new Sweep(options);
  try {
    await sweep.takeUp();
    yield* sweep.takeEvents();
    for (;;) {
      const end = await sweep.step();
      yield* sweep.takeEvents();
      if (end !== undefined) return end;
    }
  } finally {
    // Whoever stops pulling, and any error: what runs is left so that it can be resumed.
    await sweep.stopJobs();
  }
}

class Sweep {
  readonly #options: TunerOptions;
  readonly #now: () => number;
  readonly #queue = messageQueue<Message>();
  readonly #active = new Map<number, Active>();
  #events: TunerEvent[] = [];
  #slots = 0;
  #slotsAt = 0;
  /** Jobs in a row that were not taken. */
  #refusals = 0;
  #exhausted = false;
  #lastChanceTaken = false;

  constructor(options: TunerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  get #study(): Study {
    return this.#options.journal.study;
  }

  takeEvents(): readonly TunerEvent[] {
    return this.#events.splice(0);
  }

  async stopJobs(): Promise<void> {
    await Promise.all([...this.#active.values()].map(({ job }) => job.stop("save")));
  }

  /** Takes care of the attempts that an earlier tuner left behind. */
  async takeUp(): Promise<void> {
    const { executor } = this.#options;
    await this.#countSlots();
    for (const trial of this.#study.trials) {
      if (trial.status !== "running") continue;
      const job = await executor.recover(trial.handle ?? "", this.#jobOf(trial));
      if (job === undefined) await this.#end(trial, trial.stopping ?? "interrupted");
      else {
        this.#listen(trial, job);
        if (trial.stopping !== undefined) void this.#stop(job);
      }
    }
  }

  /** Starts what can be started and waits for one message. @returns how the sweep ended, once it has */
  async step(): Promise<SweepEnd | undefined> {
    const { signal } = this.#options;
    const spent = this.#isSpent();
    if (signal.aborted || (spent && !this.#lastChanceTaken))
      await this.#stopAll(signal.aborted ? "interrupted" : "budget");
    else if (!spent) await this.#startAll();
    // Without a place to run, trials wait for one.
    if (this.#active.size === 0 && (this.#slots > 0 || signal.aborted || spent)) {
      if (signal.aborted) return "interrupted";
      const last = this.#lastChance();
      if (last === undefined) return spent ? "budget" : this.#exhausted ? "exhausted" : "completed";
      this.#lastChanceTaken = true;
      await this.#start(last);
    }
    const message = await this.#queue.next(pollMs);
    if (message?.type === "line") await this.#onLine(message.active, message.line);
    else if (message?.type === "ended") await this.#onEnd(message.active, message.detail);
    this.#killZombies();
    return undefined;
  }

  /** Nodes of a cluster come and go; where none is left, trials wait for one. */
  async #countSlots(): Promise<void> {
    const { executor, resources } = this.#options;
    const first = this.#slotsAt === 0;
    this.#slotsAt = this.#now();
    try {
      this.#slots = await executor.slots(resources);
    } catch (error) {
      if (first || !isPipelineError(error)) throw error;
      this.#slots = 0;
      this.#events.push({ type: "warning", message: error.message });
    }
  }

  async #record(event: NewEvent): Promise<void> {
    const study = await this.#options.journal.append(event);
    this.#events.push({ type: "study", event, study });
  }

  #isSpent(): boolean {
    const { milliseconds, flops } = this.#options.budget;
    const used = this.#study.milliseconds + Math.max(0, this.#now() - this.#study.lastEventAt);
    return used >= (milliseconds ?? Infinity) || totalFlops(this.#study) >= (flops ?? Infinity);
  }

  async #startAll(): Promise<void> {
    const { signal } = this.#options;
    if (this.#now() - this.#slotsAt > slotsIntervalMs) await this.#countSlots();
    while (this.#active.size < this.#slots && !signal.aborted) {
      const work = this.#known() ?? (await this.#propose());
      if (work === undefined) return;
      await this.#start(work);
    }
  }

  /** A trial that is to be started again, or a paused one that deserves to go on. */
  #known(): Work | undefined {
    const { pruner } = this.#options;
    const study = this.#study;
    const waiting = study.trials.find(({ status }) => status === "waiting");
    if (waiting !== undefined)
      return { trial: waiting, until: waiting.until ?? pruner.firstHalt(study, waiting.number) };
    const promotion = pruner.promote(study);
    return promotion && { trial: study.trials[promotion.trial]!, until: promotion.until };
  }

  /** A new trial. */
  async #propose(): Promise<Work | undefined> {
    const { sampler, pruner, budget, seed, refuse } = this.#options;
    while (!this.#exhausted && this.#study.trials.length < budget.trials) {
      const { space, trials, direction } = this.#study;
      const number = trials.length;
      const rng = createRng(seed).split("trial").split(number);
      const params = sampler.sample({ space, trials, direction, rng });
      if (params === undefined) {
        this.#exhausted = true;
        return undefined;
      }
      await this.#record({ type: "created", trial: number, at: this.#now(), params });
      const trial = this.#study.trials[number]!;
      const refusal = refuse?.(params);
      if (refusal === undefined) return { trial, until: pruner.firstHalt(this.#study, number) };
      await this.#end(trial, "failed", { error: refusal });
    }
    return undefined;
  }

  /** A sweep ends with one trained model: where no trial came to its end, the best one is brought there. */
  #lastChance(): Work | undefined {
    const study = this.#study;
    if (this.#lastChanceTaken || bestTrial(study) !== undefined) return undefined;
    const trial = bestTrial(study, ({ status, reason }) => status !== "failed" && reason !== "diverged");
    return trial && { trial, until: study.maxSteps };
  }

  #jobOf(trial: Trial, attempt = trial.attempts): TrialJob {
    const id = `trial-${String(trial.number).padStart(4, "0")}-${attempt}`;
    return { id, specFile: this.#options.specFile(id, trial), resources: this.#options.resources };
  }

  async #start({ trial, until }: Work): Promise<void> {
    const { executor, prepare } = this.#options;
    const job = this.#jobOf(trial, trial.attempts + 1);
    await prepare({ trial, jobId: job.id, until });
    const running = await this.#submit(() => executor.start(job));
    if (running === undefined) return;
    this.#listen(trial, running);
    await this.#record({ type: "started", trial: trial.number, at: this.#now(), handle: running.handle, until });
  }

  /** A cluster that takes no job now may take it later: then trials wait. */
  async #submit(start: () => Promise<RunningJob>): Promise<RunningJob | undefined> {
    try {
      const running = await start();
      this.#refusals = 0;
      return running;
    } catch (error) {
      this.#refusals += 1;
      if (!isPipelineError(error, "RAY_FAILED") || this.#refusals > mostRefusals) throw error;
      this.#slots = 0;
      this.#slotsAt = this.#now();
      this.#events.push({ type: "warning", message: error.message });
      return undefined;
    }
  }

  #listen({ number }: Trial, job: RunningJob): void {
    const active: Active = {
      ...{ trial: number, job, lastWord: this.#now(), killed: false, result: undefined },
      metrics: new Set(),
    };
    this.#active.set(number, active);
    const pump = async (): Promise<void> => {
      for await (const line of job.lines) this.#queue.push({ type: "line", active, line });
      const { detail } = await job.ended;
      this.#queue.push({ type: "ended", active, detail });
    };
    void pump().catch((error: unknown) => {
      this.#queue.push({ type: "ended", active, detail: error instanceof Error ? error.message : String(error) });
    });
  }

  async #onLine(active: Active, line: string): Promise<void> {
    active.lastWord = this.#now();
    const message = parseTrialMessage(line);
    const trial = this.#study.trials[active.trial]!;
    switch (message?.type) {
      case undefined:
        break;
      case "heartbeat":
        if (message.step !== undefined && message.steps !== undefined)
          this.#events.push({ type: "progress", trial: trial.number, step: message.step, steps: message.steps });
        break;
      case "run": {
        const { runId, trackingRunId } = message;
        if (trial.runId === runId && trial.trackingRunId === trackingRunId) break;
        const known = trackingRunId === undefined ? {} : { trackingRunId };
        await this.#record({ type: "run", trial: trial.number, at: this.#now(), runId, ...known });
        break;
      }
      case "report":
        await this.#onReport(active, message);
        break;
      case "result":
        active.result = message;
        break;
      default:
        message satisfies never;
    }
  }

  async #onReport(active: Active, { step, metrics, flops }: Extract<TrialMessage, { type: "report" }>): Promise<void> {
    for (const name of Object.keys(metrics)) active.metrics.add(name);
    const value = metrics[this.#study.metric];
    const before = this.#study.trials[active.trial]!;
    // What a successor says again is known; what is no number is told by the end of the trial.
    if (typeof value !== "number" || before.reports.some((report) => report.step === step)) return;
    await this.#record({ type: "report", trial: before.number, at: this.#now(), step, value, flops });
    const study = this.#study;
    const trial = study.trials[active.trial]!;
    if (trial.stopping !== undefined || step >= study.maxSteps) return;
    if (this.#options.pruner.decide(study, trial) === "continue") return;
    await this.#record({ type: "stopping", trial: trial.number, at: this.#now(), reason: "pruned" });
    void this.#stop(active.job);
  }

  async #stopAll(reason: "budget" | "interrupted"): Promise<void> {
    for (const { trial, job } of this.#active.values()) {
      if (this.#study.trials[trial]!.stopping !== undefined) continue;
      await this.#record({ type: "stopping", trial, at: this.#now(), reason });
      void this.#stop(job);
    }
  }

  async #stop(job: RunningJob): Promise<void> {
    try {
      await job.stop("save");
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#events.push({ type: "warning", message: `${job.handle} could not be stopped: ${message}` });
    }
  }

  async #onEnd(active: Active, detail: string): Promise<void> {
    this.#active.delete(active.trial);
    const trial = this.#study.trials[active.trial]!;
    const { result } = active;
    if (result?.outcome === "complete" && trial.reports.length === 0) {
      const logged = [...active.metrics].sort().join(", ") || "nothing";
      const error = `no value of ${this.#study.metric} was logged; there was ${logged}`;
      await this.#end(trial, "failed", { error });
    } else if (result?.outcome === "complete") {
      await this.#end(trial, "complete", result.bundle === undefined ? {} : { bundle: result.bundle });
    } else if (result?.outcome === "failed" || result?.outcome === "diverged") {
      await this.#end(trial, result.outcome, { error: result.error ?? detail });
    } else if (trial.stopping !== undefined) await this.#end(trial, trial.stopping);
    else if (result?.outcome === "paused") await this.#end(trial, "paused");
    else {
      const error = active.killed ? `no sign of life: ${detail}` : detail;
      this.#events.push({ type: "warning", message: `trial ${trial.number} was lost: ${error}` });
      await this.#end(trial, trial.losses < this.#options.maxLosses ? "lost" : "failed", { error });
    }
  }

  async #end(
    { number }: Trial,
    reason: Extract<StudyEvent, { type: "ended" }>["reason"],
    more: { readonly bundle?: string; readonly error?: string } = {},
  ): Promise<void> {
    await this.#record({ type: "ended", trial: number, at: this.#now(), reason, ...more });
    const { trials } = this.#study;
    if (reason !== "failed" || trials.length < hopelessFailures || trials.some(({ status }) => status !== "failed"))
      return;
    throw new PipelineError(
      "TUNING_FAILED",
      `all of the first ${trials.length} trials failed: ${more.error ?? reason}`,
      {
        remedy: "correct the search space or the configuration, and start a new study",
        details: { studyId: this.#study.studyId },
      },
    );
  }

  #killZombies(): void {
    const { heartbeatTimeoutMs } = this.#options;
    for (const active of this.#active.values()) {
      if (active.killed || this.#now() - active.lastWord < heartbeatTimeoutMs) continue;
      active.killed = true;
      void active.job.stop("kill").catch((error: unknown) => {
        this.#events.push({ type: "warning", message: `${active.job.handle} could not be killed: ${error}` });
      });
    }
  }
}
