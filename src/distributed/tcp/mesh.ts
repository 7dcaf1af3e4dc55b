import { z } from "zod";
import { PipelineError } from "../../base/errors.ts";
import type { ByteStream } from "./byte-stream.ts";
import { connect } from "./connect.ts";
import { receiveJson, sendJson } from "./frames.ts";
import { type Listener, startListener } from "./listener.ts";
import { neighboursOf } from "./tcp-group.ts";

export interface MemberAddress {
  readonly host: string;
  readonly port: number;
}

export interface MeshOptions {
  readonly rank: number;
  /** Where each rank listens. */
  readonly members: readonly MemberAddress[];
  /** Number of this grouping: connections of another one are turned away. */
  readonly generation: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** One process's end of the connections between the members of groups. It outlives them. */
export interface MeshPoint extends AsyncDisposable {
  readonly port: number;
  /** Connections to all neighbours of a grouping. @throws PEER_LOST when they are not complete in time */
  connect(options: MeshOptions): Promise<ReadonlyMap<number, ByteStream>>;
}

const helloSchema = z.strictObject({ generation: z.int().min(0), rank: z.int().min(0) });
const maxHelloBytes = 256;

/** Starts to listen for neighbours. @throws ADDRESS_UNAVAILABLE */
export async function openMeshPoint({ host, secret }: { host: string; secret: string }): Promise<MeshPoint> {
  /** Callers by generation and rank, kept until they are asked for: they may be faster than this process. */
  const callers = new Map<string, ByteStream>();
  const waiting = new Map<string, (stream: ByteStream) => void>();
  const key = (generation: number, rank: number): string => `${generation}/${rank}`;
  const listener: Listener = await startListener({
    host,
    port: 0,
    secret,
    purpose: "data",
    onConnection(stream) {
      receiveJson(stream, maxHelloBytes)
        .then((message) => {
          const { generation, rank } = helloSchema.parse(message);
          const at = key(generation, rank);
          callers.get(at)?.destroy();
          const taker = waiting.get(at);
          waiting.delete(at);
          if (taker === undefined) callers.set(at, stream);
          else taker(stream);
        })
        .catch(() => stream.destroy());
    },
  });
  return {
    port: listener.port,
    async connect({ rank, members, generation, timeoutMs, signal }) {
      const streams = new Map<number, ByteStream>();
      const deadline = AbortSignal.timeout(timeoutMs);
      const stop = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
      const accept = (other: number): Promise<ByteStream> => {
        const at = key(generation, other);
        const early = callers.get(at);
        callers.delete(at);
        if (early !== undefined) return Promise.resolve(early);
        return new Promise((resolve, reject) => {
          waiting.set(at, resolve);
          stop.addEventListener("abort", () => {
            waiting.delete(at);
            reject(new PipelineError("PEER_LOST", `rank ${other} did not connect in ${timeoutMs / 1000} seconds`));
          });
        });
      };
      const call = async (other: number): Promise<ByteStream> => {
        const { host: to, port } = members[other]!;
        const stream = await connect({ host: to, port, secret, purpose: "data", patienceMs: timeoutMs, signal: stop });
        sendJson(stream, { generation, rank });
        return stream;
      };
      try {
        await Promise.all(
          neighboursOf(rank, members.length).map(async (other) => {
            // The higher rank calls.
            streams.set(other, await (other < rank ? call(other) : accept(other)));
          }),
        );
      } catch (cause) {
        for (const stream of streams.values()) stream.destroy();
        if (cause instanceof PipelineError) throw cause;
        throw new PipelineError("PEER_LOST", "not all processes of the group could be reached", { cause });
      }
      // What came too late for an earlier grouping.
      for (const [at, stream] of callers) {
        if (Number(at.split("/")[0]) >= generation) continue;
        stream.destroy();
        callers.delete(at);
      }
      return streams;
    },
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}
