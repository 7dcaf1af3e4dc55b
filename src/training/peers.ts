/** The processes that train together, seen from one of them. All call the same methods in the same order. */
export interface Peers {
  /** Of this process, counted from 0. */
  readonly rank: number;
  readonly worldSize: number;
  /** Memory that `allReduce` takes without a copy. */
  allocate(length: number): Float32Array;
  /** Replaces the elements by their sums over all processes: the same bits in each. */
  allReduce(data: Float32Array): Promise<void>;
  /** The bytes of one process; the others give an empty array. */
  broadcast(data: Uint8Array, root: number): Promise<Uint8Array>;
  /** What each process gives, by rank. */
  allGather(data: Uint8Array): Promise<readonly Uint8Array[]>;
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
}
