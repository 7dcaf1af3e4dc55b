import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { promisify } from "node:util";
import { PipelineError } from "../../base/errors.ts";
import { withoutPlace } from "../environment.ts";
import type { MpiFlavour } from "../mpi/library.ts";
import { type Child, startChild } from "./child.ts";
import type { Launcher } from "./launcher.ts";

export interface MpirunOptions {
  /** The launcher's program with arguments of one's own. */
  readonly mpirun: readonly string[];
}

/**
 * Starts all ranks with mpirun. MPI's world can't be mended: when a rank is lost all are started again, and go on from
 * the last checkpoint.
 * @throws MPI_UNAVAILABLE when there is no mpirun
 */
export function mpirunLauncher({ mpirun }: MpirunOptions): Launcher {
  return async (plan) => {
    const { worldSize, command, env, maxRestarts, onRestart, onFailure } = plan;
    const flavour = await flavourOfMpirun(mpirun[0]!);
    const all = [...mpirun, ...argumentsOf(flavour, { env: Object.keys(env), isRoot: process.getuid?.() === 0 })];
    let [restarts, ending] = [0, false];
    let child: Child;
    const start = (): void => {
      child = startChild({
        command: [...all, "-n", `${worldSize}`, ...command],
        env: { ...withoutPlace(process.env), ...env },
        onExit(how, code) {
          if (ending || code === 0) return;
          if (restarts >= maxRestarts) {
            onFailure(`mpirun ended with ${how}, after ${restarts} restarts`);
            return;
          }
          restarts++;
          onRestart(`mpirun ended with ${how}; restart ${restarts} of ${maxRestarts}`);
          start();
        },
      });
    };
    start();
    return {
      kill: ({ hostname: host, pid }) => {
        // mpirun ends the others and itself.
        if (host === hostname() && isBelow(pid, child.pid)) process.kill(pid, "SIGKILL");
        else void child.terminate();
      },
      async finish() {
        ending = true;
        await child.end();
      },
      async [Symbol.asyncDispose]() {
        ending = true;
        await child.terminate();
      },
    };
  };
}

/** Whether a process of this machine was started by another one, directly or not. */
function isBelow(pid: number, ancestor: number | undefined): boolean {
  for (let at = pid; at > 1 && ancestor !== undefined; ) {
    if (at === ancestor) return true;
    try {
      const stat = readFileSync(`/proc/${at}/stat`, "utf8");
      // The parent is the second field after the name, which stands in parentheses.
      at = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    } catch {
      return false;
    }
  }
  return false;
}

/** @throws MPI_UNAVAILABLE */
async function flavourOfMpirun(program: string): Promise<MpiFlavour> {
  try {
    const { stdout } = await promisify(execFile)(program, ["--version"]);
    return /open ?mpi|open-mpi/i.test(stdout) ? "openmpi" : "mpich";
  } catch (cause) {
    throw new PipelineError("MPI_UNAVAILABLE", `${program} can't be run: ${(cause as Error).message.split("\n")[0]}`, {
      remedy: "install Open MPI (Debian: openmpi-bin) or MPICH (mpich), or name the launcher in distributed.mpirun",
      cause,
    });
  }
}

/** Without binding: a process that is bound to one core starves its engine's threads. */
function argumentsOf(
  flavour: MpiFlavour,
  { env, isRoot }: { readonly env: readonly string[]; readonly isRoot: boolean },
) {
  // It hands on the whole environment.
  if (flavour === "mpich") return ["-bind-to", "none"];
  return [
    ...["--bind-to", "none", "--oversubscribe"],
    ...(isRoot ? ["--allow-run-as-root"] : []),
    ...env.flatMap((name) => ["-x", name]),
  ];
}
