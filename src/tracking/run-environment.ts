import { execFile } from "node:child_process";
import { hostname, userInfo } from "node:os";
import { promisify } from "node:util";
import type { Tag } from "./types.ts";

/** Who runs what, where. */
export interface RunEnvironment {
  readonly user: string;
  readonly host: string;
  /** The program and command, such as "cifar train". */
  readonly sourceName: string;
  /** Hash of the checked-out commit; undefined outside a repository. */
  readonly gitCommit: string | undefined;
}

const gitTimeoutMs = 3000;

export async function readRunEnvironment(options: {
  readonly sourceName: string;
  /** Folder whose repository counts. */
  readonly cwd: string;
}): Promise<RunEnvironment> {
  return {
    user: userName(),
    host: hostname(),
    sourceName: options.sourceName,
    gitCommit: await gitCommit(options.cwd),
  };
}

/** The environment as MLflow's system tags, and the host. */
export function environmentTags({ user, host, sourceName, gitCommit }: RunEnvironment): readonly Tag[] {
  return [
    { key: "mlflow.user", value: user },
    { key: "mlflow.source.name", value: sourceName },
    { key: "mlflow.source.type", value: "LOCAL" },
    ...(gitCommit === undefined ? [] : [{ key: "mlflow.source.git.commit", value: gitCommit }]),
    { key: "host", value: host },
  ];
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // The user id has no entry in the user database, as in many containers.
    return "unknown";
  }
}

async function gitCommit(cwd: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)("git", ["rev-parse", "HEAD"], { cwd, timeout: gitTimeoutMs });
    const hash = stdout.trim();
    return /^[0-9a-f]{40,64}$/.test(hash) ? hash : undefined;
  } catch {
    // No git, no repository or no commit yet: the revision is unknown, which is what undefined says.
    return undefined;
  }
}
