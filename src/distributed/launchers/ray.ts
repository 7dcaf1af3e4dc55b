import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { briefly, type ClusterProgram, entrypoint, lookAt, uploadProgram } from "../../ray/program-jobs.ts";
import { RayClient } from "../../ray/ray-client.ts";
import { threadsVariable } from "../environment.ts";
import type { Launcher } from "./launcher.ts";

export interface RayLauncherOptions extends ClusterProgram {
  /** Of the cluster's dashboard. */
  readonly address: string;
  readonly token?: string | undefined;
  /** That each process occupies. */
  readonly cpus: number;
}

/** In the package. */
const rankProgram = "dist/workers/rank-process.js";
const pollMs = 1000;
/** What processes get to end by themselves when the work is done. */
const patienceMs = 10_000;
/** Ray has told by then of a process that died; one that still runs hangs. */
const deathToldMs = 3000;
/** A cluster that does not answer for so long is given up. */
const unreachableMs = 60_000;

interface Rank {
  id: string;
  attempt: number;
  isOver: boolean;
  /** When the coordinator said that it is lost, where it was not started again since. */
  lostAt: number | undefined;
  /** Started again before the coordinator knew that the one before was lost. */
  isAhead: boolean;
}

/**
 * Starts each rank as a job of a Ray cluster, by its REST API; one that ends too early is submitted again alone. The
 * ranks connect to this process, at an address that the nodes have to reach.
 * @throws RAY_FAILED where the cluster can't be reached or has no room
 */
export function rayLauncher(options: RayLauncherOptions): Launcher {
  return async ({ worldSize, env, maxRestarts, onRestart, onFailure }) => {
    const { address, token, cpus, nodeModules, nodeCommand } = options;
    const client = new RayClient({ address, token });
    await requireRoom(client, { cpus, worldSize });
    const workingDirectory = await uploadProgram(client);
    const name = `cifar-${randomBytes(6).toString("hex")}`;
    const ranks: Rank[] = [];
    let restarts = 0;
    const over = new AbortController();

    const submit = async (rank: number, attempt: number): Promise<string> => {
      const id = `${name}-rank-${rank}-${attempt}`;
      await client.submit({
        entrypoint: entrypoint({ program: rankProgram, args: [], nodeModules, nodeCommand }),
        submission_id: id,
        runtime_env: {
          working_dir: workingDirectory,
          env_vars: {
            ...env,
            RANK: `${rank}`,
            WORLD_SIZE: `${worldSize}`,
            [threadsVariable]: `${Math.max(1, Math.floor(cpus))}`,
          },
        },
        metadata: { "cifar.rank": `${rank}` },
        entrypoint_num_cpus: cpus,
        entrypoint_num_gpus: 0,
      });
      return id;
    };

    /** @returns false when the training can't go on */
    const startAgain = async (rank: number, state: Rank, how: string): Promise<boolean> => {
      if (restarts >= maxRestarts) {
        onFailure(`rank ${rank} ended: ${how}, after ${restarts} restarts`);
        return false;
      }
      restarts++;
      onRestart(`rank ${rank} ended: ${how}; restart ${restarts} of ${maxRestarts}`);
      state.isAhead = state.lostAt === undefined;
      state.lostAt = undefined;
      state.attempt++;
      state.id = await submit(rank, state.attempt);
      return true;
    };

    const watch = async (): Promise<void> => {
      let answeredAt = performance.now();
      for (;;) {
        await sleep(pollMs, undefined, { signal: over.signal });
        for (const [rank, state] of ranks.entries()) {
          if (state.isOver) continue;
          const job = await lookAt(client, state.id);
          over.signal.throwIfAborted();
          if (job === "unreachable") {
            if (performance.now() - answeredAt > unreachableMs) return onFailure(`Ray at ${address} does not answer`);
            continue;
          }
          answeredAt = performance.now();
          if (job?.status === "SUCCEEDED") state.isOver = true;
          if (job?.status === "RUNNING" && performance.now() - (state.lostAt ?? Infinity) > deathToldMs)
            await stop(client, state.id);
          if (job !== undefined && !["FAILED", "STOPPED"].includes(job.status)) continue;
          const how = job === undefined ? `Ray job ${state.id} is gone` : `Ray job ${state.id} ${job.status}`;
          const why = job?.message ? `: ${briefly(job.message)}` : "";
          if (!(await startAgain(rank, state, how + why))) return;
        }
      }
    };

    const stopAll = async (): Promise<void> => {
      await Promise.all(ranks.map((state) => (state.isOver ? undefined : stop(client, state.id))));
    };

    try {
      for (let rank = 0; rank < worldSize; rank++) {
        const id = await submit(rank, 1);
        ranks.push({ id, attempt: 1, isOver: false, lostAt: undefined, isAhead: false });
      }
    } catch (error) {
      await stopAll();
      throw error;
    }
    watch().catch((error: unknown) => {
      if (!over.signal.aborted) onFailure(error instanceof Error ? error.message : String(error));
    });
    return {
      kill({ rank }) {
        const state = ranks[rank];
        if (state === undefined) return;
        if (state.isAhead) {
          state.isAhead = false;
          return;
        }
        state.lostAt = performance.now();
      },
      async finish() {
        over.abort();
        const until = performance.now() + patienceMs;
        for (const state of ranks) {
          while (!state.isOver && performance.now() < until) {
            const job = await lookAt(client, state.id);
            state.isOver = job === undefined || (job !== "unreachable" && isFinal(job.status));
            if (!state.isOver) await sleep(200);
          }
        }
        await stopAll();
      },
      async [Symbol.asyncDispose]() {
        over.abort();
        await stopAll();
      },
    };
  };
}

const isFinal = (status: string): boolean => status !== "PENDING" && status !== "RUNNING";

/** A cluster that can't be reached has lost the job, or ends it when its process finds nobody to talk to. */
async function stop(client: RayClient, id: string): Promise<void> {
  await client.stop(id).catch((error: unknown) => {
    if (!isPipelineError(error, "RAY_FAILED")) throw error;
  });
}

async function requireRoom(client: RayClient, wanted: { readonly cpus: number; readonly worldSize: number }) {
  const { cpus, worldSize } = wanted;
  const nodes = await client.nodes();
  const room = nodes.reduce((sum, { CPU = 0 }) => sum + Math.floor(CPU / cpus + 1e-9), 0);
  if (room >= worldSize) return;
  throw new PipelineError(
    "RAY_FAILED",
    `the Ray cluster has room for ${room} processes of ${cpus} CPUs, not ${worldSize}`,
    {
      remedy: "lower distributed.world_size or distributed.ray_cpus, or add nodes",
      details: { room, ...wanted },
    },
  );
}
