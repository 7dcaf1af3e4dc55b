/**
 * Sums over the last `seconds` seconds in one-second cells: memory is fixed whatever the traffic.
 * The clock is in milliseconds and must not go back (performance.now).
 */
export class RollingWindow<K extends string> {
  readonly #cells: { second: number; sums: Record<K, number> }[];
  readonly #keys: readonly K[];
  readonly #now: () => number;
  readonly #createdAt: number;

  constructor(keys: readonly K[], { seconds = 60, now = () => performance.now() } = {}) {
    this.#keys = keys;
    this.#now = now;
    this.#createdAt = now();
    this.#cells = Array.from({ length: seconds }, () => ({ second: Number.NEGATIVE_INFINITY, sums: this.#zero() }));
  }

  add(values: Readonly<Partial<Record<K, number>>>): void {
    const second = Math.floor(this.#now() / 1000);
    const cell = this.#cells[second % this.#cells.length]!;
    if (cell.second !== second) {
      cell.second = second;
      cell.sums = this.#zero();
    }
    for (const key of this.#keys) cell.sums[key] += values[key] ?? 0;
  }

  sums(): Readonly<Record<K, number>> {
    const oldest = Math.floor(this.#now() / 1000) - this.#cells.length;
    const total = this.#zero();
    for (const cell of this.#cells) {
      if (cell.second > oldest) for (const key of this.#keys) total[key] += cell.sums[key];
    }
    return total;
  }

  /** Seconds that the sums cover: the window, or less while it is younger than that; at least one. */
  get coveredSeconds(): number {
    return Math.min(this.#cells.length, Math.max(1, (this.#now() - this.#createdAt) / 1000));
  }

  #zero(): Record<K, number> {
    return Object.fromEntries(this.#keys.map((key) => [key, 0])) as Record<K, number>;
  }
}
