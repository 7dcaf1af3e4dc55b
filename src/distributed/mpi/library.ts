import koffi from "koffi";
import { PipelineError } from "../../base/errors.ts";

export type MpiFlavour = "openmpi" | "mpich";

/** A handle of MPI's: an address with Open MPI, a number with MPICH. */
type Handle = bigint | number;
type Pointer = bigint | ArrayBufferView | null;
type Call<A extends readonly unknown[]> = (...args: A) => number;
/** Runs in a thread of the pool, so that this one stays alive. */
type AsyncCall<A extends readonly unknown[]> = (...args: A) => Promise<number>;

/** The functions of MPI that are used here; each returns 0 for success. */
export interface MpiLibrary {
  readonly flavour: MpiFlavour;
  /** First line of what the library says about itself. */
  readonly version: string;
  readonly world: Handle;
  readonly float: Handle;
  readonly byte: Handle;
  readonly sum: Handle;
  /** Stands for "send what is in the receive buffer". */
  readonly inPlace: bigint;
  readonly initThread: Call<[null, null, number, Int32Array]>;
  readonly commRank: Call<[Handle, Int32Array]>;
  readonly commSize: Call<[Handle, Int32Array]>;
  readonly finalize: Call<[]>;
  readonly abort: Call<[Handle, number]>;
  readonly allReduce: AsyncCall<[Pointer, Pointer, number, Handle, Handle, Handle]>;
  readonly broadcast: AsyncCall<[Pointer, number, Handle, number, Handle]>;
  readonly allGather: AsyncCall<[Pointer, number, Handle, Pointer, number, Handle, Handle]>;
  readonly barrier: AsyncCall<[Handle]>;
}

const files: Readonly<Record<MpiFlavour, readonly string[]>> = {
  openmpi: ["libmpi.so.40", "libmpi.so.20", "libmpi.40.dylib"],
  mpich: ["libmpich.so.12", "libmpi.so.12", "libmpi.12.dylib"],
};

/** The library that goes with the launcher that started this process. */
export function flavourOf(env: Readonly<Record<string, string | undefined>>): MpiFlavour | undefined {
  if (env.OMPI_COMM_WORLD_SIZE !== undefined) return "openmpi";
  return env.PMI_SIZE !== undefined || env.PMI_RANK !== undefined ? "mpich" : undefined;
}

/** @throws MPI_UNAVAILABLE when the library is not installed or not one of the two kinds that are known */
export function loadMpi(flavour: MpiFlavour, path?: string): MpiLibrary {
  const lib = open(flavour, path);
  const handle = flavour === "openmpi" ? "void *" : "int";
  const symbol = (name: string): bigint => lib.symbol(name) as bigint;
  const declare = <A extends readonly unknown[]>(name: string, ...types: string[]): Call<A> & { async: unknown } =>
    lib.func(name, "int", types) as unknown as Call<A> & { async: unknown };
  const declareAsync = <A extends readonly unknown[]>(name: string, ...types: string[]): AsyncCall<A> => {
    const call = lib.func(name, "int", types);
    return (...args) =>
      new Promise((resolve, reject) => {
        call.async(...args, (error: Error | null, result: number) => (error ? reject(error) : resolve(result)));
      });
  };
  const handles =
    flavour === "openmpi"
      ? {
          world: symbol("ompi_mpi_comm_world"),
          float: symbol("ompi_mpi_float"),
          byte: symbol("ompi_mpi_byte"),
          sum: symbol("ompi_mpi_op_sum"),
          inPlace: 1n,
        }
      : // mpi.h of MPICH and of those who keep to its binary interface (Intel MPI, MVAPICH).
        { world: 0x44000000, float: 0x4c00040a, byte: 0x4c00010d, sum: 0x58000003, inPlace: 2n ** 64n - 1n };
  return {
    flavour,
    version: versionOf(declare("MPI_Get_library_version", "void *", "void *")),
    ...handles,
    initThread: declare("MPI_Init_thread", "void *", "void *", "int", "void *"),
    commRank: declare("MPI_Comm_rank", handle, "void *"),
    commSize: declare("MPI_Comm_size", handle, "void *"),
    finalize: declare("MPI_Finalize"),
    abort: declare("MPI_Abort", handle, "int"),
    allReduce: declareAsync("MPI_Allreduce", "void *", "void *", "int", handle, handle, handle),
    broadcast: declareAsync("MPI_Bcast", "void *", "int", handle, "int", handle),
    allGather: declareAsync("MPI_Allgather", "void *", "int", handle, "void *", "int", handle, handle),
    barrier: declareAsync("MPI_Barrier", handle),
  };
}

function open(flavour: MpiFlavour, path: string | undefined): ReturnType<typeof koffi.load> {
  // MPICH's all-reduce wants more than the 128 KiB that calls in other threads get by default.
  koffi.config({ async_stack_size: 4 * 2 ** 20 });
  const tried = path === undefined ? files[flavour] : [path];
  const failures: string[] = [];
  for (const file of tried) {
    try {
      // Its parts are loaded later and look for its symbols.
      return koffi.load(file, { global: true });
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new PipelineError("MPI_UNAVAILABLE", `no MPI library: ${failures.join("; ")}`, {
    remedy:
      flavour === "openmpi"
        ? "install Open MPI (Debian: openmpi-bin libopenmpi3), or set distributed.backend=gloo"
        : "install MPICH (Debian: mpich), or set distributed.backend=gloo",
    details: { flavour, tried },
  });
}

function versionOf(call: Call<[Uint8Array, Int32Array]>): string {
  // MPI_MAX_LIBRARY_VERSION_STRING of MPICH is 8192.
  const text = new Uint8Array(8192);
  const length = new Int32Array(1);
  call(text, length);
  const [line = ""] = new TextDecoder().decode(text.subarray(0, length[0])).split(/[\n\0]/);
  return line;
}
