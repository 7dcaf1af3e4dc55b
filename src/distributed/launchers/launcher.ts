/** What a launcher starts. */
export interface LaunchPlan {
  readonly worldSize: number;
  /** Program and arguments of one process. */
  readonly command: readonly string[];
  /** To be added to the environment of each process; the rank comes from the launcher. */
  readonly env: Readonly<Record<string, string>>;
  /** How often something that ended too early may be started again. */
  readonly maxRestarts: number;
  /** A process was started again. */
  readonly onRestart: (what: string) => void;
  /** The job can't go on. */
  readonly onFailure: (message: string) => void;
}

/** Processes that were started, and are ended at once when it is disposed. */
export interface Job extends AsyncDisposable {
  /** Ends a process that hangs; it is started again like everything that ends too early. */
  kill(process: LostProcess): void;
  /** The work is done: waits for all to end by themselves, for some seconds. */
  finish(): Promise<void>;
}

export interface LostProcess {
  readonly rank: number;
  readonly hostname: string;
  readonly pid: number;
}

export type Launcher = (plan: LaunchPlan) => Promise<Job>;
