/** The processes that train together, seen from one of them. All call the same methods in the same order. */
export interface Peers {
  /** Of this process, counted from 0. */
  readonly rank: number;
  readonly worldSize: number;
  /** Memory that `allReduce` takes without a copy. */
  allocate(length: number): Float32Array;
  /**
   * Replaces the elements by their sums over all processes: the same bits in each. With a `residual` numbers may be
   * rounded on the way: it keeps what that takes away, which is added to the next sum.
   */
  allReduce(data: Float32Array, residual?: Float32Array): Promise<void>;
  /** The bytes of one process; the others give an empty array. */
  broadcast(data: Uint8Array, root: number): Promise<Uint8Array>;
  /** What each process gives, by rank. */
  allGather(data: Uint8Array): Promise<readonly Uint8Array[]>;
}

/** "float16": large gradients are rounded on the way, and what that takes away comes with the next ones. */
export type Compression = "none" | "float16";

/**
 * Processes that train by themselves and exchange what they have learnt now and then (DiLoCo, Douillard et al. 2023): for
 * links that are too slow for every gradient.
 */
export interface LocalSteps {
  /** Steps between exchanges; the end of an epoch is one as well. */
  readonly every: number;
  /** Of the outer optimiser: SGD with Nesterov momentum on the mean of what the processes have changed. */
  readonly learningRate: number;
  readonly momentum: number;
}

/** How a training is spread over processes. */
export interface Together {
  readonly peers: Peers;
  /** "own": batch norm sees a process's own images only; "all": those of all processes, as one process would. */
  readonly batchNorm: "own" | "all";
  /** Floats that are summed in one call. */
  readonly bucketSize?: number | undefined;
  /** Sections of the backward pass. */
  readonly parts?: number | undefined;
  /** How gradients travel; default "none". */
  readonly compression?: Compression | undefined;
  /** Steps that each process takes by itself; without it all take each step together. */
  readonly localSteps?: LocalSteps | undefined;
}
