/**
 * What loading tells whoever listens. `done` and `total` count bytes ("download", "unpack") or images ("decode", and
 * "features", which a frozen network computes once).
 */
export interface DataProgress {
  readonly stage: "download" | "unpack" | "decode" | "features";
  readonly done: number;
  readonly total: number | undefined;
}

export type OnDataProgress = (progress: DataProgress) => void;
