interface Duration {
  count: number;
  seconds: number;
}

/** What one loaded model has done since it was loaded. Numbers only: bounded whatever the traffic. */
export class ModelStatistics {
  readonly success: Duration = { count: 0, seconds: 0 };
  readonly failure: Duration = { count: 0, seconds: 0 };
  readonly queue: Duration = { count: 0, seconds: 0 };
  readonly decode: Duration = { count: 0, seconds: 0 };
  /** Model runs by their number of images. */
  readonly batches = new Map<number, Duration>();
  /** Milliseconds since the epoch; 0 before the first. */
  lastInferenceMs = 0;

  observeBatch(size: number, seconds: number | undefined): void {
    if (seconds === undefined) return;
    const entry = this.batches.get(size) ?? { count: 0, seconds: 0 };
    add(entry, seconds);
    this.batches.set(size, entry);
  }

  observeSuccess({ queueSeconds, decodeSeconds, totalSeconds }: InferenceTimes): void {
    add(this.success, totalSeconds);
    add(this.queue, queueSeconds);
    add(this.decode, decodeSeconds);
    this.lastInferenceMs = Date.now();
  }

  observeFailure(totalSeconds: number): void {
    add(this.failure, totalSeconds);
  }

  /** Model runs in all. */
  get runs(): Readonly<Duration> {
    const total = { count: 0, seconds: 0 };
    for (const { count, seconds } of this.batches.values()) {
      total.count += count;
      total.seconds += seconds;
    }
    return total;
  }
}

export interface InferenceTimes {
  readonly queueSeconds: number;
  readonly decodeSeconds: number;
  readonly totalSeconds: number;
}

function add(duration: Duration, seconds: number): void {
  duration.count++;
  duration.seconds += seconds;
}
