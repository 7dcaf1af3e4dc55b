import { open, readFile, rm, stat, utimes } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { isMissing } from "./durable.ts";
import { storageError } from "./storage-error.ts";

/** A lock that is held; disposing frees it. */
export interface HeldLock extends AsyncDisposable {
  /** Says that the holder still works: at least once in `staleMs`. */
  touch(): Promise<void>;
}

export interface LockOptions {
  /** A lock that was not touched for so long belongs to nobody any more; default 10 minutes. */
  readonly staleMs?: number | undefined;
  /** Between two looks at a lock that is held by another; default 200 ms. */
  readonly pollMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Holds a lock file, waiting while another process or thread holds it. A lock whose process is gone is taken over.
 * @throws STORAGE_FAILED, and the signal's reason when it aborts
 */
export async function lockFile(path: string, options: LockOptions = {}): Promise<HeldLock> {
  const { staleMs = 600_000, pollMs = 200, signal } = options;
  while (!(await create(path))) {
    signal?.throwIfAborted();
    if (await isAbandoned(path, staleMs)) await rm(path, { force: true });
    else await sleep(pollMs, undefined, { signal });
  }
  return {
    async touch() {
      const now = new Date();
      await utimes(path, now, now);
    },
    [Symbol.asyncDispose]: () => rm(path, { force: true }),
  };
}

/** The process and the second of its start: numbers of processes are used again. */
const self = `${process.pid} ${Math.round(Date.now() / 1000 - process.uptime())}`;

async function create(path: string): Promise<boolean> {
  try {
    await using file = await open(path, "wx");
    await file.writeFile(self);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw storageError(error, path) ?? error;
  }
}

async function isAbandoned(path: string, staleMs: number): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > staleMs) return true;
    const [pid = 0, started = 0] = (await readFile(path, "utf8")).split(" ").map(Number);
    if (pid === 0) return false;
    return pid === process.pid ? Math.abs(started - Number(self.split(" ")[1])) > 2 : !isAlive(pid);
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
