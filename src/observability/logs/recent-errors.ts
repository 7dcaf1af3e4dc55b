const minuteMs = 60_000;
const minutes = 60;
/** Codes of one minute that are told apart. */
const mostCodes = 50;

/** Errors of the last hour by their code, to the minute. */
export class RecentErrors {
  readonly #now: () => number;
  /** Minute since the epoch of `now` to counts. */
  readonly #counts = new Map<number, Map<string, number>>();

  /** @param now milliseconds, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  add(code: string): void {
    const minute = Math.floor(this.#now() / minuteMs);
    this.#forget(minute);
    let counts = this.#counts.get(minute);
    if (counts === undefined) {
      counts = new Map();
      this.#counts.set(minute, counts);
    }
    const key = counts.has(code) || counts.size < mostCodes ? code : "OTHER";
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }

  byCode(): Readonly<Record<string, number>> {
    this.#forget(Math.floor(this.#now() / minuteMs));
    const sums: Record<string, number> = {};
    for (const counts of this.#counts.values()) {
      for (const [code, count] of counts) sums[code] = (sums[code] ?? 0) + count;
    }
    return sums;
  }

  #forget(minute: number): void {
    for (const old of this.#counts.keys()) if (old <= minute - minutes) this.#counts.delete(old);
  }
}

/** What an error line is counted as: the error's code, else its name, else "NONE". */
export function codeOfLine(fields: unknown): string {
  const error = typeof fields === "object" && fields !== null && "err" in fields ? fields.err : undefined;
  if (typeof error !== "object" || error === null) return "NONE";
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  return (
    [code, name].find((value): value is string => typeof value === "string" && value !== "")?.slice(0, 64) ?? "NONE"
  );
}
