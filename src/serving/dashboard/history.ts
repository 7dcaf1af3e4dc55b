import type { MetricSample } from "../../observability/exposition.ts";
import { type DashboardPoint, pointBetween, type Snapshot, seriesNames } from "./series.ts";

export interface DashboardHistoryOptions {
  readonly samples: () => Promise<readonly MetricSample[]>;
  /** Between two points; default 5 s. */
  readonly intervalMs?: number;
  /** Points that are kept; default 4320: six hours, 933,120 bytes (27 numbers of 8 bytes a point). */
  readonly capacity?: number;
  readonly onError: (error: unknown) => void;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** A point as the page gets it: its time, then its values in the order of seriesNames. */
export type DashboardRow = readonly (number | null)[];

const width = 1 + seriesNames.length;

/**
 * The service's figures of the last hours, in memory, at a steady pace whether anybody looks or not. Their memory is
 * taken at the start and never grows: a ring of `bytes`. Beside it only the last reading of the metrics is held.
 */
export class DashboardHistory implements Disposable {
  readonly #options: Required<Omit<DashboardHistoryOptions, "onError" | "samples">> & DashboardHistoryOptions;
  /** Not a number: no figure. */
  readonly #ring: Float64Array;
  /** Points since the start. */
  #count = 0;
  #latest: DashboardPoint | undefined;
  readonly #listeners = new Set<(point: DashboardPoint) => void>();
  readonly #timer: NodeJS.Timeout;
  #last: Snapshot | undefined;

  constructor(options: DashboardHistoryOptions) {
    this.#options = { intervalMs: 5000, capacity: 4320, now: Date.now, ...options };
    this.#ring = new Float64Array(this.#options.capacity * width);
    this.#timer = setInterval(() => {
      this.sample().catch(options.onError);
    }, this.#options.intervalMs);
    // The figures alone don't keep the process alive.
    this.#timer.unref();
  }

  get intervalMs(): number {
    return this.#options.intervalMs;
  }

  /** What all points together take, from the start. */
  get bytes(): number {
    return this.#ring.byteLength;
  }

  get latest(): DashboardPoint | undefined {
    return this.#latest;
  }

  /** All points that are kept, the oldest first. */
  rows(): readonly DashboardRow[] {
    const { capacity } = this.#options;
    const kept = Math.min(this.#count, capacity);
    return Array.from({ length: kept }, (_, i) => {
      const start = ((this.#count - kept + i) % capacity) * width;
      return Array.from(this.#ring.subarray(start, start + width), (value) => (Number.isNaN(value) ? null : value));
    });
  }

  /** Takes a point now; the first call only takes the reference. */
  async sample(): Promise<void> {
    const snapshot = { time: this.#options.now(), samples: await this.#options.samples() };
    if (this.#last !== undefined) {
      const point = pointBetween(this.#last, snapshot);
      const row = [point.time, ...seriesNames.map((name) => point.values[name] ?? Number.NaN)];
      this.#ring.set(row, (this.#count++ % this.#options.capacity) * width);
      this.#latest = point;
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
