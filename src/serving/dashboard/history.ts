import type { MetricSample } from "../../observability/exposition.ts";
import { type DashboardPoint, pointBetween, type Snapshot } from "./series.ts";

export interface DashboardHistoryOptions {
  readonly samples: () => Promise<readonly MetricSample[]>;
  /** Between two points; default 5 s. */
  readonly intervalMs?: number;
  /** Points that are kept; default 4320: six hours, about 2 MB. */
  readonly capacity?: number;
  readonly onError: (error: unknown) => void;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** The service's figures of the last hours, in memory, at a steady pace whether anybody looks or not. */
export class DashboardHistory implements Disposable {
  readonly #options: Required<Omit<DashboardHistoryOptions, "onError" | "samples">> & DashboardHistoryOptions;
  readonly #points: DashboardPoint[] = [];
  readonly #listeners = new Set<(point: DashboardPoint) => void>();
  readonly #timer: NodeJS.Timeout;
  #last: Snapshot | undefined;

  constructor(options: DashboardHistoryOptions) {
    this.#options = { intervalMs: 5000, capacity: 4320, now: Date.now, ...options };
    this.#timer = setInterval(() => {
      this.sample().catch(options.onError);
    }, this.#options.intervalMs);
    // The figures alone don't keep the process alive.
    this.#timer.unref();
  }

  get intervalMs(): number {
    return this.#options.intervalMs;
  }

  get points(): readonly DashboardPoint[] {
    return this.#points;
  }

  /** Takes a point now; the first call only takes the reference. */
  async sample(): Promise<void> {
    const snapshot = { time: this.#options.now(), samples: await this.#options.samples() };
    if (this.#last !== undefined) {
      const point = pointBetween(this.#last, snapshot);
      this.#points.push(point);
      if (this.#points.length > this.#options.capacity) this.#points.shift();
      for (const listener of this.#listeners) listener(point);
    }
    this.#last = snapshot;
  }

  /** Tells each new point until the result is disposed. */
  subscribe(listener: (point: DashboardPoint) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#listeners.clear();
  }
}
