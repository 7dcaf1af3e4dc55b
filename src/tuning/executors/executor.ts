/** What a trial occupies. */
export interface TrialResources {
  readonly cpu: number;
  readonly gpu: number;
}

/** One attempt at a trial. */
export interface TrialJob {
  /** Unique in the study and for each attempt: "trial-0003-2". */
  readonly id: string;
  /** The file that tells the trial's process what to do. */
  readonly specFile: string;
  readonly resources: TrialResources;
}

/** How an attempt ended, beside what it printed. */
export interface JobEnd {
  /** In words, for people. */
  readonly detail: string;
}

/** An attempt that runs, on this machine or elsewhere. */
export interface RunningJob {
  /** Finds it again after a restart of the tuner. */
  readonly handle: string;
  /** What it prints, whole lines; ends when the attempt has. */
  readonly lines: AsyncIterable<string>;
  /** Never rejects. */
  readonly ended: Promise<JobEnd>;
  /** save: let it write a checkpoint and end; kill: it does not answer any more. Resolves when it has ended. */
  stop(how: "save" | "kill"): Promise<void>;
}

/** Where trials run. Disposing ends what still runs, letting it save. */
export interface TrialExecutor extends AsyncDisposable {
  readonly name: string;
  /** How many trials run at once. @throws TUNING_FAILED when not even one can */
  slots(resources: TrialResources): Promise<number>;
  start(job: TrialJob): Promise<RunningJob>;
  /**
   * An attempt that an earlier tuner started: goes on listening to it where that is possible; where not, makes sure that
   * it is over and gives undefined.
   */
  recover(handle: string, job: TrialJob): Promise<RunningJob | undefined>;
}
