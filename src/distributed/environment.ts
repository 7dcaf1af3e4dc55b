import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { PipelineError } from "../base/errors.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What a launcher (torchrun, mpirun, Slurm, Kubernetes, our own) tells a process in its environment. */
export interface RankEnvironment {
  readonly rank: number;
  readonly worldSize: number;
  /** Processes on this machine; undefined where the launcher does not say. */
  readonly localWorldSize: number | undefined;
}

/** Names of a launcher's variables, in the order in which they are looked for. */
const conventions = [
  { rank: "RANK", worldSize: "WORLD_SIZE", local: "LOCAL_WORLD_SIZE" },
  { rank: "OMPI_COMM_WORLD_RANK", worldSize: "OMPI_COMM_WORLD_SIZE", local: "OMPI_COMM_WORLD_LOCAL_SIZE" },
  { rank: "PMI_RANK", worldSize: "PMI_SIZE", local: "MPI_LOCALNRANKS" },
  { rank: "SLURM_PROCID", worldSize: "SLURM_NTASKS", local: "SLURM_NTASKS_PER_NODE" },
] as const;

/** The variable that holds what all processes of a training know and nobody else. */
export const secretVariable = "CIFAR_DISTRIBUTED_SECRET";

/** Threads that a launcher gives a process, where it does not share its machine with the others equally. */
export const threadsVariable = "CIFAR_RANK_THREADS";

/** This process's place, or undefined where no launcher has given it one. @throws CONFIG_INVALID for half of one */
export function rankFromEnvironment(env: Environment): RankEnvironment | undefined {
  const found = conventions.find(({ rank }) => isSet(env[rank]));
  if (found === undefined) return undefined;
  const rank = whole(env, found.rank);
  const worldSize = whole(env, found.worldSize);
  if (worldSize < 1 || rank >= worldSize) {
    throw new PipelineError("CONFIG_INVALID", `${found.rank} is ${rank} and ${found.worldSize} is ${worldSize}`, {
      remedy: `set ${found.rank} to 0 … ${found.worldSize} - 1`,
    });
  }
  return { rank, worldSize, localWorldSize: isSet(env[found.local]) ? whole(env, found.local, 1) : undefined };
}

/** Threads that a launcher has given this process. @throws CONFIG_INVALID */
export function threadsFromEnvironment(env: Environment): number | undefined {
  return isSet(env[threadsVariable]) ? whole(env, threadsVariable, 1) : undefined;
}

/** What a process that a launcher of ours starts may not take over from the one that itself was given a place. */
export function withoutPlace(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own = { ...env };
  const names = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_USE_AGENT_STORE"];
  for (const name of [...names, threadsVariable]) delete own[name];
  return own;
}

export interface MeetingPoint {
  readonly host: string;
  readonly port: number;
}

/**
 * Where the processes find each other: MASTER_ADDR and MASTER_PORT where both are set, else `initMethod`
 * ("tcp://HOST:PORT"; "env://" insists on the variables).
 * @throws CONFIG_INVALID
 */
export function meetingPoint(initMethod: string, env: Environment): MeetingPoint {
  if (isSet(env.MASTER_ADDR) && isSet(env.MASTER_PORT)) {
    // The agent of torchrun listens there itself.
    const taken = env.TORCHELASTIC_USE_AGENT_STORE === "True" ? 1 : 0;
    return { host: numeric(env.MASTER_ADDR!), port: whole(env, "MASTER_PORT", 1, 65_535 - taken) + taken };
  }
  const match = /^tcp:\/\/(\[[0-9a-f:]+\]|[^:/\s]+):(\d{1,5})$/i.exec(initMethod);
  if (match !== null && Number(match[2]) <= 65_535) return { host: numeric(match[1]!), port: Number(match[2]) };
  throw new PipelineError("CONFIG_INVALID", `distributed.init_method is ${initMethod}`, {
    remedy:
      initMethod === "env://"
        ? "set MASTER_ADDR and MASTER_PORT, or give tcp://HOST:PORT"
        : "give tcp://HOST:PORT, or env:// to take MASTER_ADDR and MASTER_PORT from the environment",
    details: { initMethod },
  });
}

export function isLoopback(host: string): boolean {
  return host === "::1" || /^127\./.test(host);
}

/**
 * What is to be said of a name that means this very machine here, as Debian's /etc/hosts has it for the machine's own
 * name: processes of other machines would look for it there in vain. Undefined where nothing is.
 */
export async function loopbackWarning(
  { host, port }: MeetingPoint,
  addressOf: (host: string) => Promise<{ readonly address: string }> = lookup,
): Promise<string | undefined> {
  if (isIP(host) !== 0) return undefined;
  const { address } = await addressOf(host);
  if (!isLoopback(address)) return undefined;
  return (
    `the processes meet at ${host}:${port}, which is ${address} on this machine: others can't reach it; ` +
    "give MASTER_ADDR (or distributed.init_method) as the address that the others see"
  );
}

/** "localhost" may mean either protocol: all processes have to mean the same. */
function numeric(host: string): string {
  return host === "localhost" ? "127.0.0.1" : host.replaceAll(/[[\]]/g, "");
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== "";
}

function whole(env: Environment, name: string, least = 0, most = 999_999): number {
  const text = env[name];
  if (text !== undefined && /^\d{1,6}$/.test(text) && Number(text) >= least && Number(text) <= most)
    return Number(text);
  throw new PipelineError("CONFIG_INVALID", `the environment variable ${name} is ${text ?? "not set"}`, {
    remedy: `set it to a whole number from ${least} to ${most}, as the launcher does`,
  });
}
