import { isPipelineError } from "../base/errors.ts";
import type { StopReason, TrainEvent } from "../training/events.ts";
import { environmentTags, type RunEnvironment } from "./run-environment.ts";
import type { ArtifactSource, ModelRegistration, RunTarget } from "./run-target.ts";
import type { Batch } from "./store.ts";
import { recordOf, statusOf } from "./training-record.ts";
import { type DatasetInput, trackingLimits as limits, type Metric, type Tag, type TerminalStatus } from "./types.ts";

const maxPendingMetrics = 50_000;

export interface RunLoggerOptions {
  readonly target: RunTarget;
  readonly experimentName: string;
  readonly runName: string;
  readonly environment: RunEnvironment;
  /** Dotted keys with text values, as flattenConfig gives them. */
  readonly params?: Readonly<Record<string, string>>;
  readonly tags?: Readonly<Record<string, string>>;
  /** Go on with this run instead of starting one. */
  readonly resumeRunId?: string;
  /** Record the metrics of every Nth step. */
  readonly stepInterval?: number;
  /** Write at the first event that comes this long after the last write; ends of epochs are written at once. */
  readonly flushIntervalMs?: number;
  /** Called with the first failure, never again. */
  readonly onProblem?: (error: unknown) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface RunLoggerSummary {
  /** undefined when the store never took the run. */
  readonly runId: string | undefined;
  /** Attempts to write that failed. */
  readonly failures: number;
  /** Metrics, params, tags and artifacts that never reached the store. */
  readonly lost: number;
  /** Whether the store knows that the run has ended. */
  readonly isEndTold: boolean;
}

/**
 * Records one training run. It buffers, writes in the background and never throws into the training: a failing store is
 * reported once, the data are kept and tried again at the next write, and what could not be written in the end is
 * counted.
 */
export class RunLogger {
  readonly #options: RunLoggerOptions;
  readonly #now: () => number;
  #metrics: Metric[] = [];
  readonly #lastSteps = new Map<string, number>();
  readonly #params: Map<string, string>;
  readonly #tags: Map<string, string>;
  readonly #artifacts = new Map<string, ArtifactSource>();
  #inputs: DatasetInput[] = [];
  #registration: ModelRegistration | undefined;
  #isOpen = false;
  #stopReason: StopReason | undefined;
  #finished: Promise<RunLoggerSummary> | undefined;
  #writing: Promise<void> = Promise.resolve();
  #lastWrite: number;
  #failures = 0;
  #lost = 0;

  constructor(options: RunLoggerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#lastWrite = this.#now();
    this.#params = new Map(Object.entries(options.params ?? {}));
    this.#tags = new Map(Object.entries(options.tags ?? {}));
    for (const { key, value } of environmentTags(options.environment)) this.#tags.set(key, value);
    this.#tags.set("mlflow.runName", options.runName);
  }

  /** Id of the run, once the store has taken it. */
  get runId(): string | undefined {
    return this.#options.target.runId;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Takes an event of `fit`; returns at once. */
  onEvent(event: TrainEvent): void {
    if (event.type === "stop") this.#stopReason = event.reason;
    const { stepInterval = 10 } = this.#options;
    if (event.type !== "step" || event.globalStep === 1 || event.globalStep % stepInterval === 0) {
      const { metrics = {}, step = 0, tags = {}, artifacts = {} } = recordOf(event);
      this.logMetrics(metrics, step);
      this.setTags(tags);
      for (const [path, data] of Object.entries(artifacts)) this.logArtifact(path, { data });
    }
    const { flushIntervalMs = 2000 } = this.#options;
    if (event.type !== "step" || this.#now() - this.#lastWrite >= flushIntervalMs) void this.flush();
  }

  /** Steps of a metric rise: one that is not above the last is known already. */
  logMetrics(values: Readonly<Record<string, number>>, step: number): void {
    const timestamp = this.#now();
    for (const [key, value] of Object.entries(values)) {
      // Processes that go on from a checkpoint after one of them was lost tell steps again.
      if (step <= (this.#lastSteps.get(key) ?? Number.NEGATIVE_INFINITY)) continue;
      this.#lastSteps.set(key, step);
      this.#metrics.push({ key, value, timestamp, step });
    }
    if (this.#metrics.length <= maxPendingMetrics) return;
    // The oldest go, a tenth at a time: dropping one by one would move the whole list each time.
    this.#lost += this.#metrics.splice(0, maxPendingMetrics / 10).length;
  }

  setTags(tags: Readonly<Record<string, string>>): void {
    for (const [key, value] of Object.entries(tags)) this.#tags.set(key, value);
  }

  /** Keeps a text, bytes, or a file or folder of the disk (read when it is written). The same path twice: the last. */
  logArtifact(path: string, source: ArtifactSource): void {
    this.#artifacts.set(path, source);
  }

  /** A dataset that the run works on. */
  logInput(input: DatasetInput): void {
    this.#inputs.push(input);
  }

  /** Enters a model among the artifacts into the registry, once these are written. */
  registerModel(registration: ModelRegistration): void {
    this.#registration = registration;
  }

  /** Writes what is pending, after the writes before it. Never rejects. */
  flush(): Promise<void> {
    this.#lastWrite = this.#now();
    this.#writing = this.#writing.then(() => this.#attempt(() => this.#write()));
    return this.#writing;
  }

  /** Writes the rest and ends the run; by default with the status that follows from the stop event. Never rejects. */
  finish(status?: TerminalStatus): Promise<RunLoggerSummary> {
    this.#finished ??= this.#finish(status ?? statusOf(this.#stopReason));
    return this.#finished;
  }

  async #finish(status: TerminalStatus): Promise<RunLoggerSummary> {
    await this.flush();
    let isEndTold = false;
    if (this.#isOpen) {
      await this.#attempt(async () => {
        await this.#options.target.update({ status, endTime: this.#now() });
        isEndTold = true;
      });
    }
    const waiting = this.#inputs.length + (this.#registration === undefined ? 0 : 1);
    const pending = this.#metrics.length + this.#params.size + this.#tags.size + this.#artifacts.size + waiting;
    return { runId: this.runId, failures: this.#failures, lost: this.#lost + pending, isEndTold };
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#failures += 1;
      if (this.#failures === 1) this.#report(error);
    }
  }

  #report(error: unknown): void {
    try {
      this.#options.onProblem?.(error);
    } catch {
      // A listener that fails must not stop the training either; the failure itself is counted.
      this.#failures += 1;
    }
  }

  async #write(): Promise<void> {
    const { target } = this.#options;
    if (!this.#isOpen) await this.#open();
    await this.#drain(this.#params, limits.paramsPerBatch, (params) => this.#send({ params }));
    await this.#drain(this.#tags, limits.tagsPerBatch, (tags) => this.#send({ tags }));
    while (this.#metrics.length > 0) {
      const metrics = this.#metrics.slice(0, limits.metricsPerBatch);
      await this.#send({ metrics });
      const sent = new Set(metrics);
      this.#metrics = this.#metrics.filter((metric) => !sent.has(metric));
    }
    const inputs = [...this.#inputs];
    if (inputs.length > 0) await this.#orLose(inputs.length, () => target.logInputs(inputs));
    this.#inputs = this.#inputs.filter((input) => !inputs.includes(input));
    for (const [path, source] of [...this.#artifacts]) {
      await this.#orLose(1, () => target.writeArtifact(path, source));
      if (this.#artifacts.get(path) === source) this.#artifacts.delete(path);
    }
    const registration = this.#registration;
    if (registration === undefined) return;
    await this.#orLose(1, () => target.registerModel(registration));
    this.#registration = undefined;
  }

  /** Sends a map's entries in batches and removes those that have not changed since. */
  async #drain(
    map: Map<string, string>,
    size: number,
    send: (entries: readonly Tag[]) => Promise<void>,
  ): Promise<void> {
    const entries = [...map].map(([key, value]) => ({ key, value }));
    for (let start = 0; start < entries.length; start += size) {
      const batch = entries.slice(start, start + size);
      await send(batch.map(clip));
      for (const { key, value } of batch) if (map.get(key) === value) map.delete(key);
    }
  }

  #send(batch: Batch): Promise<void> {
    const count = (batch.metrics?.length ?? 0) + (batch.params?.length ?? 0) + (batch.tags?.length ?? 0);
    return this.#orLose(count, () => this.#options.target.logBatch(batch));
  }

  /** Data that the store refuses for what they are would be refused again: they are given up, and counted. */
  async #orLose(count: number, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isPipelineError(error, "TRACKING_INVALID") && !isPipelineError(error, "TRACKING_NOT_FOUND")) throw error;
      this.#lost += count;
      await this.#attempt(() => Promise.reject(error));
    }
  }

  async #open(): Promise<void> {
    const { target, experimentName, runName, environment, resumeRunId } = this.#options;
    const { takenParams } = await target.openRun({
      experimentName,
      init: { runName, userId: environment.user, startTime: this.#now() },
      ...(resumeRunId === undefined ? {} : { resumeRunId }),
    });
    // Params are written once: those that a resumed run has stay, changed ones are kept as tags.
    for (const { key, value } of takenParams) {
      const wanted = this.#params.get(key);
      this.#params.delete(key);
      if (wanted !== undefined && wanted !== value) this.#tags.set(`resumed.${key}`, wanted);
    }
    this.#isOpen = true;
  }
}

/** Params and tags share the smaller limit: longer values are cut, visibly. */
function clip({ key, value }: Tag): Tag {
  const limit = limits.paramValueLength;
  return value.length <= limit ? { key, value } : { key, value: `${value.slice(0, limit - 1)}…` };
}
