import { PipelineError } from "../base/errors.ts";
import { availableCores } from "../base/machine-limits.ts";
import type { Config } from "../config/schema.ts";
import type { JoinOptions } from "../distributed/communicator-protocol.ts";
import {
  type MeetingPoint,
  meetingPoint,
  type RankEnvironment,
  rankFromEnvironment,
  secretVariable,
} from "../distributed/environment.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What a process of a distributed training is started with; it can be sent to a thread. */
export interface RankStart {
  readonly join: JoinOptions;
  /** Of the engine, where the configuration leaves it open. */
  readonly threads: number;
}

export interface RankStartOptions {
  readonly place: RankEnvironment;
  readonly point: MeetingPoint;
  readonly secret: string;
  readonly patienceMs: number;
  /** Default: an equal part of the machine's cores. */
  readonly threads?: number | undefined;
}

export function rankStart({ place, point, secret, patienceMs, threads: given }: RankStartOptions): RankStart {
  const threads = given ?? Math.max(1, Math.floor(availableCores() / (place.localWorldSize ?? 1)));
  return { join: { rank: place.rank, ...point, secret, patienceMs }, threads };
}

/** This process's place among those that somebody else has started, if so. @throws CONFIG_INVALID */
export function givenPlace({ distributed: { launcher } }: Config, env: Environment): RankEnvironment | undefined {
  return launcher === "auto" || launcher === "env" ? rankFromEnvironment(env) : undefined;
}

/** How this process joins, where the environment makes it a rank other than 0. @throws CONFIG_INVALID */
export function otherRank(config: Config, env: Environment): RankStart | undefined {
  const { init_method: initMethod, rejoin_timeout: patience } = config.distributed;
  const place = givenPlace(config, env);
  if (place === undefined || place.rank === 0) return undefined;
  return rankStart({
    place,
    point: meetingPoint(initMethod, env),
    secret: secretFrom(env),
    patienceMs: 1000 * patience,
  });
}

/** @throws CONFIG_INVALID when the processes that others start have no common secret */
export function secretFrom(env: Environment): string {
  const secret = env[secretVariable];
  if (secret !== undefined && secret.length >= 16) return secret;
  const problem = secret === undefined || secret === "" ? "is not set" : "has fewer than 16 characters";
  throw new PipelineError("CONFIG_INVALID", `the environment variable ${secretVariable} ${problem}`, {
    remedy: `give all processes of the training the same random text in it, such as that of \`openssl rand -hex 32\``,
  });
}

/** @throws CONFIG_INVALID where the processes could not have equal parts of each batch */
export function checkWorldSize({ training }: Config, worldSize: number): void {
  const { batch_size: images, gradient_accumulation: parts } = training;
  if (images % (worldSize * parts) === 0) return;
  const inParts = parts === 1 ? "" : `, each in ${parts} parts`;
  throw new PipelineError(
    "CONFIG_INVALID",
    `training.batch_size is ${images}, which ${worldSize} processes can't share equally${inParts}`,
    {
      remedy: "make it a multiple of distributed.world_size times training.gradient_accumulation",
      details: { worldSize },
    },
  );
}
