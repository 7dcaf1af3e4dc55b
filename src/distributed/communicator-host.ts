import { isPipelineError, PipelineError } from "../base/errors.ts";
import type {
  CommunicatorCall,
  CommunicatorReply,
  CommunicatorRequest,
  GroupDescription,
  JoinOptions,
  PlainError,
} from "./communicator-protocol.ts";
import { becomeMember, type Membership } from "./control/member.ts";
import { flavourOf, loadMpi } from "./mpi/library.ts";
import { createMpiGroup } from "./mpi/mpi-group.ts";
import type { ProcessGroup } from "./process-group.ts";
import { type MeshPoint, openMeshPoint } from "./tcp/mesh.ts";
import { createTcpGroup } from "./tcp/tcp-group.ts";

/** The side of a communicator that lives in its own thread: it stays alive while the other one computes. */
export interface CommunicatorHost {
  handle(request: CommunicatorRequest): void;
}

/** Joins a training. What happens is told by `reply`, failure included. */
export async function startCommunicatorHost(
  options: JoinOptions,
  reply: (message: CommunicatorReply) => void,
): Promise<CommunicatorHost> {
  let group: ProcessGroup | undefined;
  let mesh: MeshPoint | undefined;
  const membership = await becomeMember({
    ...options,
    onLost(reason) {
      group?.abort(reason);
      reply({ type: "lost", reason: reason.message });
    },
    onStop: () => reply({ type: "stop" }),
    onEnd: () => reply({ type: "end" }),
  });
  const { welcome } = membership;

  const nextGroup = async (): Promise<GroupDescription> => {
    if (welcome.transport === "mpi") {
      if (group !== undefined) {
        throw new PipelineError(
          "PEER_LOST",
          "a group of MPI can't be made anew: all its processes have to start again",
        );
      }
      await membership.join(0);
      const flavour = flavourOf(process.env);
      if (flavour === undefined) {
        throw new PipelineError("MPI_UNAVAILABLE", "this process was not started by mpirun or mpiexec", {
          remedy: "set distributed.launcher=mpirun, or start all processes with mpirun",
        });
      }
      group = createMpiGroup({ library: loadMpi(flavour), timeoutMs: welcome.callTimeoutMs });
    } else {
      await group?.[Symbol.asyncDispose]();
      mesh ??= await openMeshPoint({ host: membership.localAddress, secret: options.secret });
      group = await tcpGroup(membership, { mesh, rank: options.rank });
    }
    const { rank, worldSize, description } = group;
    return { rank, worldSize, description };
  };
  const open = (): ProcessGroup => {
    if (group === undefined) throw new PipelineError("INVALID_ARGUMENT", "there is no process group yet");
    return group;
  };
  const carryOut = async (call: CommunicatorCall): Promise<unknown> => {
    switch (call.type) {
      case "group":
        return nextGroup();
      case "allReduce":
        return open().allReduce(call.data, call.residual);
      case "broadcast":
        return open().broadcast(call.data, call.root);
      case "allGather":
        return open().allGather(call.data);
      case "barrier":
        return open().barrier();
      case "abort":
        return open().abort(new PipelineError("PEER_LOST", call.reason));
      case "close":
        await group?.[Symbol.asyncDispose]();
        await membership[Symbol.asyncDispose]();
        await mesh?.[Symbol.asyncDispose]();
        return undefined;
      default:
        return call satisfies never;
    }
  };

  reply({ type: "welcome", welcome });
  return {
    handle(request) {
      switch (request.type) {
        case "call": {
          const { id } = request;
          carryOut(request.call).then(
            (value) => reply({ type: "result", id, value }),
            (error: unknown) => reply({ type: "error", id, error: plainError(error) }),
          );
          break;
        }
        case "report":
          membership.report(request.report);
          break;
        case "done":
          membership.done();
          break;
        default:
          request satisfies never;
      }
    },
  };
}

async function tcpGroup(membership: Membership, own: { readonly mesh: MeshPoint; readonly rank: number }) {
  const { algorithm, callTimeoutMs, heartbeatTimeoutMs, rejoinTimeoutMs, worldSize } = membership.welcome;
  const { mesh, rank } = own;
  const until = performance.now() + rejoinTimeoutMs;
  for (;;) {
    const { generation, members } = await membership.join(mesh.port);
    try {
      const streams = await mesh.connect({ rank, members, generation, timeoutMs: heartbeatTimeoutMs });
      return createTcpGroup({ rank, worldSize, streams, algorithm, timeoutMs: callTimeoutMs });
    } catch (error) {
      // Somebody went away in the meantime: the coordinator makes another group of those that come back.
      if (!isPipelineError(error, "PEER_LOST") || performance.now() > until) throw error;
    }
  }
}

export function plainError(error: unknown): PlainError {
  if (isPipelineError(error)) return { code: error.code, message: error.message };
  return { code: "INTERNAL_ERROR", message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}
