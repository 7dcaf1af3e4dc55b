import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { restoreError } from "../base/error-transfer.ts";
import { PipelineError } from "../base/errors.ts";
import { workerUrl } from "../base/worker-url.ts";
import type { Config } from "../config/schema.ts";
import { startCoordinator } from "../distributed/control/coordinator.ts";
import {
  isLoopback,
  loopbackWarning,
  type MeetingPoint,
  meetingPoint,
  type RankEnvironment,
  secretVariable,
} from "../distributed/environment.ts";
import type { Job, Launcher } from "../distributed/launchers/launcher.ts";
import { localLauncher } from "../distributed/launchers/local.ts";
import { mpirunLauncher } from "../distributed/launchers/mpirun.ts";
import { rayLauncher } from "../distributed/launchers/ray.ts";
import { configuredRay } from "./configured-ray.ts";
import type { ExperimentEvent, TrainingOutcome } from "./events.ts";
import { checkWorldSize, givenPlace, rankStart, secretFrom } from "./rank-place.ts";
import type { RankReport } from "./rank-report.ts";
import { startRank } from "./run-rank.ts";
import type { TrainingRequest } from "./training-request.ts";

export interface DistributedOptions {
  /** Where launchers leave RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and the secret. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborting saves a checkpoint and ends the training in all processes, after the same step. */
  readonly signal: AbortSignal;
}

/**
 * Trains on several processes and yields what rank 0 tells. This process coordinates: it knows which ranks are alive,
 * starts lost ones again where it started them itself, and waits for them where somebody else does.
 * @throws what runTraining throws; CONFIG_INVALID, LAUNCH_FAILED, PEER_LOST when ranks stay away
 */
export async function* trainDistributed(
  request: TrainingRequest,
  { env, signal }: DistributedOptions,
): AsyncGenerator<ExperimentEvent, TrainingOutcome> {
  const { distributed } = request.config;
  const place = givenPlace(request.config, env);
  const worldSize = place?.worldSize ?? distributed.world_size;
  checkWorldSize(request.config, worldSize);
  const starter = chooseStarter(request.config, place);
  const point = meetingPoint(distributed.init_method, place === undefined ? {} : env);
  const hasSecret = (env[secretVariable] ?? "") !== "";
  checkReach(point, { hasSecret });
  const secret = starter === "env" || hasSecret ? secretFrom(env) : randomBytes(32).toString("hex");

  const inbox: (() => ExperimentEvent | TrainingOutcome)[] = [];
  let wake = (): void => undefined;
  const put = (take: () => ExperimentEvent | TrainingOutcome): void => {
    inbox.push(take);
    wake();
  };
  const fail = (error: PipelineError): void =>
    put(() => {
      throw error;
    });
  const warn = (message: string): void => put(() => ({ type: "warning", message }));
  let job: Job | undefined;
  /** Ranks that are started again have to go on where the run was. */
  let task: TrainingRequest = request;
  await using coordinator = await startCoordinator({
    ...point,
    secret,
    worldSize,
    transport: distributed.backend === "mpi" ? "mpi" : "tcp",
    algorithm: distributed.algorithm,
    heartbeatTimeoutMs: 1000 * distributed.heartbeat_timeout,
    callTimeoutMs: 1000 * distributed.collective_timeout,
    rejoinTimeoutMs: 1000 * distributed.rejoin_timeout,
    task: () => task,
    onReport(_, told) {
      const report = told as RankReport;
      if (report.type === "failed") fail(restoreError(report.error));
      else put(() => (report.type === "event" ? report.event : report.outcome));
    },
    onLost(process, reason) {
      warn(`rank ${process.rank} is lost: ${reason}`);
      job?.kill(process);
    },
    onGroup(generation) {
      task = { ...request, mode: "resume" };
      if (generation > 1) warn(`all ${worldSize} processes are there again`);
    },
    onFailure: fail,
  });
  const stop = (): void => coordinator.stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    if (signal.aborted) stop();
    const at = { host: point.host, port: coordinator.port };
    if (starter === "env") {
      const patienceMs = 1000 * distributed.rejoin_timeout;
      const own = startRank(rankStart({ place: place!, point: at, secret, patienceMs }));
      own.done.catch(fail);
      job = { kill: () => undefined, finish: () => own.done, [Symbol.asyncDispose]: () => own[Symbol.asyncDispose]() };
    } else {
      const launch = await launchers[starter](request.config);
      job = await launch({
        worldSize,
        command: [process.execPath, fileURLToPath(workerUrl("workers/rank-process"))],
        env: { MASTER_ADDR: at.host, MASTER_PORT: `${at.port}`, [secretVariable]: secret },
        maxRestarts: distributed.max_restarts,
        onRestart: warn,
        onFailure: (message) =>
          fail(
            new PipelineError("LAUNCH_FAILED", message, {
              remedy: "see the warnings before; go on from the last checkpoint with --resume last",
            }),
          ),
      });
    }
    for (const message of notes(request.config, { starter, point })) warn(message);
    const mayBeElsewhere = starter === "env" && place?.localWorldSize !== worldSize;
    const unreachable = mayBeElsewhere ? await loopbackWarning(point) : undefined;
    if (unreachable !== undefined) warn(unreachable);
    for (;;) {
      const take = inbox.shift();
      if (take === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      const told = take();
      if (!("type" in told)) {
        coordinator.end();
        await job.finish();
        return told;
      }
      yield told;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    coordinator.end();
    await job?.[Symbol.asyncDispose]();
  }
}

type Starter = "local" | "mpirun" | "ray" | "env";

const launchers: Readonly<Record<Exclude<Starter, "env">, (config: Config) => Launcher | Promise<Launcher>>> = {
  local: () => localLauncher,
  mpirun: ({ distributed }) => mpirunLauncher({ mpirun: distributed.mpirun }),
  ray: async ({ distributed, ray_tune: { ray } }) =>
    rayLauncher({ ...(await configuredRay(ray)), cpus: distributed.ray_cpus }),
};

/** @throws CONFIG_INVALID where nobody could start the processes */
function chooseStarter({ distributed }: Config, place: RankEnvironment | undefined): Starter {
  const { launcher, backend } = distributed;
  if (launcher === "env" && place === undefined) {
    throw new PipelineError("CONFIG_INVALID", "distributed.launcher is env, but this process was given no rank", {
      remedy: "set RANK and WORLD_SIZE in each process, or set distributed.launcher=local",
    });
  }
  const starter = launcher !== "auto" ? launcher : place !== undefined ? "env" : backend === "mpi" ? "mpirun" : "local";
  if (backend === "mpi" && (starter === "local" || starter === "ray")) {
    throw new PipelineError("CONFIG_INVALID", `distributed.backend is mpi, but distributed.launcher is ${starter}`, {
      remedy: "set distributed.launcher=mpirun, which starts processes that MPI knows",
    });
  }
  return starter;
}

/** @throws CONFIG_INVALID where other machines could come in and nobody has chosen a secret */
function checkReach({ host }: MeetingPoint, { hasSecret }: { readonly hasSecret: boolean }): void {
  if (isLoopback(host) || hasSecret) return;
  throw new PipelineError("CONFIG_INVALID", `the processes meet at ${host}, which other machines can reach`, {
    remedy: `set ${secretVariable} to the same random text for all processes, or use tcp://localhost:PORT`,
    details: { host },
  });
}

function notes(
  { distributed }: Config,
  { starter, point }: { readonly starter: Starter; readonly point: MeetingPoint },
): string[] {
  const how = { local: "local processes", mpirun: "mpirun", ray: "Ray jobs", env: "processes that others start" }[
    starter
  ];
  const found: string[] = [];
  if (distributed.backend === "gloo")
    found.push(
      `distributed.backend gloo stands for this program's own TCP connections here (${how}); mpi uses an MPI library`,
    );
  const goesElsewhere =
    starter === "ray" ||
    (starter === "mpirun" && distributed.mpirun.some((word) => /^--?(H|f|host|hostfile|machinefile)\b/.test(word)));
  if (goesElsewhere && isLoopback(point.host))
    found.push(
      `the processes meet at ${point.host}, which is each machine itself: for other machines set distributed.init_method ` +
        `to tcp://ADDRESS:PORT of this one, and ${secretVariable}`,
    );
  return found;
}
