import type { PipelineError } from "../base/errors.ts";

/**
 * Processes that compute together, seen from one of them. All members call the same methods in the same order; calls
 * are carried out one after the other. When a member is lost, all calls, pending and later ones, fail with PEER_LOST.
 */
export interface ProcessGroup extends AsyncDisposable {
  /** Of this process, counted from 0. */
  readonly rank: number;
  readonly worldSize: number;
  /** For people: "tcp (2 processes, ring)". */
  readonly description: string;
  /** Memory that `allReduce` takes without a copy. */
  allocate(length: number): Float32Array;
  /**
   * Replaces the elements by their sums over all members: the same bits in each. With a `residual` of the same length the
   * numbers travel as float16 (TCP only); what rounding takes away is kept there and added to the next sum.
   * @throws INVALID_ARGUMENT for a residual where numbers can't be rounded
   */
  allReduce(data: Float32Array, residual?: Float32Array): Promise<void>;
  /** The bytes of one member; the others give an empty array. */
  broadcast(data: Uint8Array, root: number): Promise<Uint8Array>;
  /** What each member gives, by rank; lengths may differ. */
  allGather(data: Uint8Array): Promise<readonly Uint8Array[]>;
  /** Returns when all members have called it. */
  barrier(): Promise<void>;
  /** Ends the group here: pending calls fail with this reason. */
  abort(reason: PipelineError): void;
}

export interface GroupLimits {
  /** A call that takes longer ends the group; default 300 seconds. */
  readonly timeoutMs?: number | undefined;
}

export const defaultCallTimeoutMs = 300_000;
