import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { CallQueue } from "../call-queue.ts";
import { defaultCallTimeoutMs, type GroupLimits, type ProcessGroup } from "../process-group.ts";
import type { ByteStream } from "./byte-stream.ts";
import { type RingPlace, ringAllGather, ringAllReduce, ringAllReduceHalves, ringBroadcast } from "./ring.ts";
import { type TreePlace, treeAllReduce, treeNeighbours } from "./tree.ts";

/** "auto": a tree for few numbers, a ring for many. */
export type Algorithm = "auto" | "ring" | "tree";

export interface TcpGroupOptions extends GroupLimits {
  readonly rank: number;
  readonly worldSize: number;
  /** Connections to all neighbours, by rank. They belong to the group. */
  readonly streams: ReadonlyMap<number, ByteStream>;
  readonly algorithm?: Algorithm | undefined;
}

/** Floats up to which a tree is the faster way. */
const treeLength = 16_384;

/** The ranks that a member has connections to: its neighbours in the ring and in the tree. */
export function neighboursOf(rank: number, worldSize: number): readonly number[] {
  const { parent, children } = treeNeighbours(rank, worldSize);
  const ring = [(rank + 1) % worldSize, (rank + worldSize - 1) % worldSize];
  const all = new Set([...ring, ...children, ...(parent === undefined ? [] : [parent])]);
  all.delete(rank);
  return [...all].sort((a, b) => a - b);
}

/** A process group over TCP connections, in TypeScript alone. */
export function createTcpGroup(options: TcpGroupOptions): ProcessGroup {
  const { rank, worldSize, streams, algorithm = "auto", timeoutMs = defaultCallTimeoutMs } = options;
  const close = (reason: PipelineError): void => {
    // What was sent tells the others that they do other work: it has to arrive.
    for (const stream of streams.values()) {
      if (reason.code === "PEER_REFUSED") stream.end();
      else stream.destroy();
    }
  };
  const calls = new CallQueue({ timeoutMs, onAbort: close });
  for (const [other, stream] of streams) {
    stream.onLost((cause) => {
      calls.abort(
        new PipelineError("PEER_LOST", `the connection to rank ${other} was lost: ${cause.message}`, {
          details: { rank: other },
          cause,
        }),
      );
    });
  }
  const streamTo = (other: number): ByteStream => {
    const stream = streams.get(other);
    if (stream === undefined) throw new PipelineError("INVALID_ARGUMENT", `rank ${rank} is not connected to ${other}`);
    return stream;
  };
  const ring = (): RingPlace => ({
    rank,
    worldSize,
    next: streamTo((rank + 1) % worldSize),
    previous: streamTo((rank + worldSize - 1) % worldSize),
  });
  const tree = (): TreePlace => {
    const { parent, children } = treeNeighbours(rank, worldSize);
    return { parent: parent === undefined ? undefined : streamTo(parent), children: children.map(streamTo) };
  };
  const sum = async (data: Float32Array, residual: Float32Array | undefined): Promise<void> => {
    if (worldSize === 1 || data.length === 0) return;
    const asTree = algorithm === "tree" || (algorithm === "auto" && data.length <= treeLength);
    try {
      if (residual !== undefined) await ringAllReduceHalves(data, residual, ring());
      else if (asTree) await treeAllReduce(data, tree());
      else await ringAllReduce(data, ring());
    } catch (error) {
      if (isPipelineError(error, "PEER_REFUSED")) calls.abort(error);
      throw error;
    }
  };
  return {
    rank,
    worldSize,
    description: `tcp (${worldSize} processes, ${algorithm === "auto" ? "ring and tree" : algorithm})`,
    allocate: (length) => new Float32Array(length),
    allReduce: (data, residual) => calls.run("all-reduce", () => sum(data, residual)),
    broadcast: (data, root) =>
      calls.run("broadcast", async () => (worldSize === 1 ? data : ringBroadcast(data, root, ring()))),
    allGather: (data) => calls.run("all-gather", async () => (worldSize === 1 ? [data] : ringAllGather(data, ring()))),
    barrier: () =>
      calls.run("barrier", async () => {
        if (worldSize > 1) await treeAllReduce(new Float32Array(1), tree());
      }),
    abort: (reason) => calls.abort(reason),
    async [Symbol.asyncDispose]() {
      calls.abort(new PipelineError("PEER_LOST", "the process group is closed"));
      for (const stream of streams.values()) stream.destroy();
    },
  };
}
