/** What loading tells whoever listens. `done` and `total` count bytes ("download", "unpack") or images ("decode"). */
export interface DataProgress {
  readonly stage: "download" | "unpack" | "decode";
  readonly done: number;
  readonly total: number | undefined;
}

export type OnDataProgress = (progress: DataProgress) => void;
