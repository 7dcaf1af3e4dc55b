import { isPipelineError, PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import type { Communicator } from "../distributed/communicator.ts";
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint, saveCheckpoint } from "../training/checkpoint.ts";
import type { FitOptions, TrainResult } from "../training/fit.ts";
import type { Peers } from "../training/peers.ts";
import type { TrainingOutcome } from "./events.ts";
import type { TrainingContext } from "./training-request.ts";

export interface TogetherOptions extends Pick<TrainingContext, "onEvent"> {
  readonly config: Config;
  /** Where the checkpoints are. */
  readonly directory: string;
  readonly fingerprint: string;
  /** What this process could go on from. */
  readonly resume: Checkpoint | undefined;
  readonly run: (more: Pick<FitOptions, "resume" | "together" | "onEnd">) => Promise<TrainResult>;
  readonly finish: (result: TrainResult) => Promise<TrainingOutcome>;
}

/**
 * One process's part in a training of several. When another one is lost, it keeps the state after its last whole step,
 * waits until all are there again, and they go on from the newest state that any of them has.
 * @throws PEER_LOST when there can't be another group, PEER_REFUSED when processes were given different work
 */
export async function trainTogether(communicator: Communicator, options: TogetherOptions): Promise<TrainingOutcome> {
  const { config, fingerprint, run, finish, onEvent } = options;
  const { sync_batch_norm: sync, bucket_mb: bucketMb, backward_parts: parts, compression } = config.distributed;
  const { local_steps: every, outer_learning_rate: learningRate, outer_momentum: momentum } = config.distributed;
  let checkpoint = options.resume;
  /** Between exchanges each process has weights of its own: the states after a loss need not belong together. */
  let isApart = false;
  for (;;) {
    const peers = await communicator.nextGroup();
    try {
      checkpoint = await newestCheckpoint(peers, { checkpoint, fingerprint, isApart });
      isApart = false;
      const result = await run({
        resume: checkpoint,
        together: {
          ...{ peers, batchNorm: sync ? "all" : "own", bucketSize: bucketMb * 2 ** 18, parts, compression },
          localSteps: every === 1 ? undefined : { every, learningRate, momentum },
        },
        onEnd: (last) => {
          checkpoint = last;
        },
      });
      const outcome = await finish(result);
      communicator.done();
      // The others keep what rank 0 needs, should it be lost while it evaluates.
      if (communicator.rank !== 0) await communicator.ended();
      return outcome;
    } catch (error) {
      if (!isPipelineError(error, "PEER_LOST")) throw error;
      peers.abort(error);
      isApart = every > 1;
      if (communicator.welcome.transport === "mpi") {
        if (communicator.rank === 0 && checkpoint !== undefined) await saveCheckpoint(options.directory, checkpoint);
        throw error;
      }
      const step = checkpoint?.progress.globalStep ?? 0;
      onEvent({
        type: "warning",
        message: `${error.message}; going on from step ${step} when all processes are there`,
      });
    }
  }
}

interface Standing {
  readonly fingerprint: string;
  /** -1 for a process that has nothing. */
  readonly globalStep: number;
  readonly epoch: number;
  readonly isApart: boolean;
}

interface OwnState {
  readonly checkpoint: Checkpoint | undefined;
  readonly fingerprint: string;
  readonly isApart: boolean;
}

/** The checkpoint of the process that has come furthest; undefined where all begin. */
async function newestCheckpoint(
  peers: Peers,
  { checkpoint, fingerprint, isApart }: OwnState,
): Promise<Checkpoint | undefined> {
  const { globalStep = -1, epoch = -1 } = checkpoint?.progress ?? {};
  const own: Standing = { fingerprint, globalStep, epoch, isApart };
  const gathered = await peers.allGather(new TextEncoder().encode(JSON.stringify(own)));
  const standings = gathered.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Standing);
  const stranger = standings.findIndex((other) => other.fingerprint !== standings[0]!.fingerprint);
  if (stranger !== -1) {
    throw new PipelineError(
      "PEER_REFUSED",
      `rank ${stranger} trains with other settings, images or weights than rank 0`,
      {
        remedy: "give all processes the same configuration and the same data",
        details: { fingerprints: standings.map((standing) => standing.fingerprint) },
      },
    );
  }
  const isBehind = (a: Standing, b: Standing): boolean =>
    a.globalStep < b.globalStep || (a.globalStep === b.globalStep && a.epoch < b.epoch);
  const source = standings.reduce((best, standing, rank) => (isBehind(standings[best]!, standing) ? rank : best), 0);
  const newest = standings[source]!;
  const takeOver = newest.globalStep >= 0 && standings.some((standing) => standing.isApart);
  if (!takeOver && !standings.some((standing) => isBehind(standing, newest))) return checkpoint;
  const sent = source === peers.rank && checkpoint !== undefined ? encodeCheckpoint(checkpoint) : new Uint8Array(0);
  const received = await peers.broadcast(sent, source);
  return takeOver || isBehind(own, newest) ? decodeCheckpoint(received, `of rank ${source}`) : checkpoint;
}
