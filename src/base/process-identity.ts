import { readFileSync } from "node:fs";

/** A process, told apart from later ones of the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in a form to be compared only; null where the system does not tell. */
  readonly started: string | null;
}

/** @returns undefined when there is no such process */
export function identityOf(pid: number): ProcessIdentity | undefined {
  if (!isAlive(pid)) return undefined;
  return { pid, started: startOf(pid) };
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, but somebody else's.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** Clock ticks since the machine's start, and which start that was (proc(5), field 22 of /proc/PID/stat). */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name, in parentheses, may contain anything.
    const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${ticks}`;
  } catch {
    // No /proc on this platform: the number alone has to do.
    return null;
  }
}
