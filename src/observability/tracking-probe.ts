import type { MetricSource } from "./instruments.ts";

export interface TrackingProbeOptions {
  /** Least time between two looks; default 15 s. */
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** Looks whether a tracking server answers when metrics are read; a slow server does not make the scrape wait. */
export function trackingProbe(
  url: string,
  { intervalMs = 15_000, timeoutMs = 3000, now = () => performance.now() }: TrackingProbeOptions = {},
): MetricSource {
  const address = `${url.replace(/\/+$/, "")}/health`;
  let up = Number.NaN;
  let lookedAt = Number.NEGATIVE_INFINITY;
  const look = async (): Promise<void> => {
    try {
      const response = await fetch(address, { signal: AbortSignal.timeout(timeoutMs) });
      await response.body?.cancel();
      // One that wants a login is there.
      up = response.status < 500 ? 1 : 0;
    } catch {
      // That nobody answers is the figure.
      up = 0;
    }
  };
  return async ({ tracking_up }) => {
    if (now() - lookedAt >= intervalMs) {
      const first = Number.isNaN(up);
      lookedAt = now();
      const looking = look();
      if (first) await looking;
    }
    tracking_up.set(up);
  };
}
