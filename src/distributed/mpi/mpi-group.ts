import { PipelineError } from "../../base/errors.ts";
import { CallQueue } from "../call-queue.ts";
import { defaultCallTimeoutMs, type GroupLimits, type ProcessGroup } from "../process-group.ts";
import { piecesOf, type Range } from "../range.ts";
import { createHugePageAdviser } from "./huge-pages.ts";
import type { MpiLibrary } from "./library.ts";
import { tuneOpenMpi } from "./open-mpi-tuning.ts";

export interface MpiGroupOptions extends GroupLimits {
  readonly library: MpiLibrary;
}

/** MPI counts in 32-bit integers. */
const maxCount = 2 ** 31 - 1;
const maxChunk = 2 ** 30;
/** Calls from any thread: each call runs in another one of a pool. */
const threadMultiple = 3;

/**
 * The processes that mpirun started, as a group. MPI itself waits for ever when a process or a link is gone: here a
 * call that takes too long fails, and after that the process has to end, as MPI's world can't be mended.
 * @throws MPI_UNAVAILABLE when MPI can't be initialised
 */
export function createMpiGroup({ library: mpi, timeoutMs = defaultCallTimeoutMs }: MpiGroupOptions): ProcessGroup {
  using _ = mpi.flavour === "openmpi" ? tuneOpenMpi(process.env) : undefined;
  const provided = new Int32Array(1);
  check(mpi.initThread(null, null, threadMultiple, provided), "MPI_Init_thread");
  if (provided[0]! < threadMultiple) {
    throw new PipelineError("MPI_UNAVAILABLE", `${mpi.version} gives thread level ${provided[0]}, 3 is needed`, {
      remedy: "use an MPI library that was built with MPI_THREAD_MULTIPLE, or set distributed.backend=gloo",
    });
  }
  const rank = numberFrom((out) => mpi.commRank(mpi.world, out), "MPI_Comm_rank");
  const worldSize = numberFrom((out) => mpi.commSize(mpi.world, out), "MPI_Comm_size");
  /** Lengths of sums that all have asked for at the same time. */
  const agreed = new Set<number>();
  const adviseHugePages = createHugePageAdviser();
  let broken = false;
  const calls = new CallQueue({
    timeoutMs,
    onAbort: () => {
      broken = true;
    },
  });
  const broadcast = async (data: Uint8Array, root: number): Promise<void> => {
    for (const { start, end } of chunks(data.length)) {
      const part = data.subarray(start, end);
      check(await mpi.broadcast(part, part.length, mpi.byte, root, mpi.world), "MPI_Bcast");
    }
  };
  /** A float32 holds whole numbers up to 2^24 exactly: lengths travel as bytes. */
  const lengthsOf = async (length: number): Promise<Float64Array> => {
    const own = Float64Array.of(length);
    const all = new Float64Array(worldSize);
    check(await mpi.allGather(own, 8, mpi.byte, all, 8, mpi.byte, mpi.world), "MPI_Allgather");
    return all;
  };
  return {
    rank,
    worldSize,
    description: `mpi (${worldSize} processes, ${mpi.version})`,
    allocate: (length) => new Float32Array(length),
    allReduce: (data, residual) =>
      calls.run("all-reduce", async () => {
        if (residual !== undefined)
          throw new PipelineError("INVALID_ARGUMENT", "MPI has no float16 numbers to sum", {
            remedy: "set distributed.compression=none, or distributed.backend=gloo",
          });
        // Different counts are erroneous in MPI, which does not have to notice. The sums of a training come again in
        // every step: they are compared the first time.
        if (!agreed.has(data.length)) requireSame(await lengthsOf(data.length), data.length);
        agreed.add(data.length);
        adviseHugePages(data);
        for (const { start, end } of chunks(data.length)) {
          const part = data.subarray(start, end);
          check(await mpi.allReduce(mpi.inPlace, part, part.length, mpi.float, mpi.sum, mpi.world), "MPI_Allreduce");
        }
      }),
    broadcast: (data, root) =>
      calls.run("broadcast", async () => {
        const length = (await lengthsOf(data.length))[root]!;
        const bytes = rank === root ? data : new Uint8Array(length);
        await broadcast(bytes, root);
        return bytes;
      }),
    allGather: (data) =>
      calls.run("all-gather", async () => {
        const lengths = await lengthsOf(data.length);
        const longest = Math.max(...lengths);
        requireCount(longest * worldSize);
        const own = new Uint8Array(longest);
        own.set(data);
        const all = new Uint8Array(longest * worldSize);
        check(await mpi.allGather(own, longest, mpi.byte, all, longest, mpi.byte, mpi.world), "MPI_Allgather");
        return Array.from(lengths, (length, other) => all.slice(other * longest, other * longest + length));
      }),
    barrier: () => calls.run("barrier", async () => check(await mpi.barrier(mpi.world), "MPI_Barrier")),
    abort: (reason) => calls.abort(reason),
    async [Symbol.asyncDispose]() {
      // With a lost process it would wait for ever.
      if (!broken) check(mpi.finalize(), "MPI_Finalize");
      calls.abort(new PipelineError("PEER_LOST", "the process group is closed"));
    },
  };
}

function numberFrom(call: (out: Int32Array) => number, name: string): number {
  const out = new Int32Array(1);
  check(call(out), name);
  return out[0]!;
}

function check(code: number, name: string): void {
  if (code !== 0)
    throw new PipelineError("PEER_LOST", `${name} failed with error ${code}`, { details: { code, name } });
}

/** What one call of MPI may move of so many elements. */
export function chunks(length: number): Generator<Range> {
  return piecesOf({ start: 0, end: length }, maxChunk);
}

function requireSame(lengths: Float64Array, own: number): void {
  const rank = lengths.findIndex((length) => length !== own);
  if (rank < 0) return;
  throw new PipelineError(
    "PEER_REFUSED",
    `the sum of ${lengths[rank]} floats in rank ${rank} meets one of ${own} floats here`,
    {
      remedy: "give all processes the same configuration, and run the same version of the program",
      details: { lengths: [...lengths] },
    },
  );
}

function requireCount(count: number): void {
  if (count <= maxCount) return;
  throw new PipelineError("INVALID_ARGUMENT", `MPI moves at most ${maxCount} elements in a call, not ${count}`);
}
