/** tuning/state.json of a sweep's run, as far as it is shown. */
export interface SweepState {
  readonly metric: string;
  readonly direction: "maximize" | "minimize";
  readonly sampler: string;
  readonly scheduler: string;
  readonly updatedAt: number;
  readonly seconds: number;
  readonly finished: boolean;
  /** Trials by their status. */
  readonly counts: Readonly<Record<string, number>>;
  readonly best: { readonly trial: number; readonly value: number } | null;
  readonly space: Readonly<Record<string, { readonly domain: Domain }>>;
  readonly trials: readonly SweepTrial[];
}

type Choice = string | number | boolean | null;

type Domain =
  | { readonly kind: "choice"; readonly values: readonly Choice[] }
  | { readonly kind: "range"; readonly scale: "linear" | "log" };

export interface SweepTrial {
  readonly number: number;
  readonly runId: string | null;
  readonly status: string;
  /** Why it failed or was stopped. */
  readonly reason: string | null;
  readonly value: number | null;
  readonly seconds: number;
  readonly params: Readonly<Record<string, Choice>>;
  readonly reports: readonly { readonly step: number }[];
}

/** tuning/summary.json, as far as it is shown. */
export interface SweepSummary {
  readonly importance: readonly { readonly parameter: string; readonly share: number }[];
}
