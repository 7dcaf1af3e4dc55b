import { open, readFile, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { isMissing } from "./durable.ts";
import { identityOf, type ProcessIdentity } from "./process-identity.ts";
import { storageError } from "./storage-error.ts";

/** Who holds a lock. */
export interface LockOwner extends ProcessIdentity {
  readonly host: string;
}

/** A lock that is held; disposing frees it. */
export interface HeldLock extends AsyncDisposable {
  /** Says that the holder still works: at least once in `staleMs`. */
  touch(): Promise<void>;
}

export interface LockOptions {
  /**
   * A lock of this very process (a thread that has died) or of another host, which can't be asked, belongs to nobody any
   * more when it was not touched for so long; default 10 minutes.
   */
  readonly staleMs?: number | undefined;
}

export interface WaitingLockOptions extends LockOptions {
  /** Between two looks at a lock that is held by another; default 200 ms. */
  readonly pollMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const defaultStaleMs = 600_000;

/**
 * Holds a lock file, waiting while another process or thread holds it. A lock whose process is gone is taken over.
 * @throws STORAGE_FAILED, and the signal's reason when it aborts
 */
export async function lockFile(path: string, options: WaitingLockOptions = {}): Promise<HeldLock> {
  const { pollMs = 200, signal } = options;
  for (;;) {
    const found = await tryLockFile(path, options);
    if (isHeld(found)) return found;
    signal?.throwIfAborted();
    await sleep(pollMs, undefined, { signal });
  }
}

/** Touches a lock that is held until it is freed. */
export function keepTouched(lock: HeldLock, everyMs: number): AsyncDisposable {
  // A disk that fails is told by the work that the lock is held for.
  const beat = setInterval(() => void lock.touch().catch(() => undefined), everyMs);
  beat.unref();
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(beat);
      await lock[Symbol.asyncDispose]();
    },
  };
}

export function isHeld(found: HeldLock | LockOwner): found is HeldLock {
  return "touch" in found;
}

/**
 * Holds a lock file unless another has it.
 * @returns the lock, or its owner
 * @throws STORAGE_FAILED
 */
export async function tryLockFile(path: string, { staleMs = defaultStaleMs }: LockOptions = {}) {
  if (await create(path)) return held(path);
  const owner = await ownerUnlessAbandoned(path, staleMs);
  if (owner !== undefined) return owner;
  // Of several that find it abandoned one may take it over: else the second would remove the lock of the first.
  const takeover = `${path}.takeover`;
  if (!(await create(takeover))) {
    if ((await ownerUnlessAbandoned(takeover, writingMs)) === undefined) await rm(takeover, { force: true });
    return self();
  }
  try {
    const again = await ownerUnlessAbandoned(path, staleMs);
    if (again !== undefined) return again;
    await rm(path, { force: true });
    return (await create(path)) ? held(path) : self();
  } finally {
    await rm(takeover, { force: true });
  }
}

/** A lock is written, and one is taken over, in less than this. */
const writingMs = 10_000;

function held(path: string): HeldLock {
  return {
    async touch() {
      const now = new Date();
      await utimes(path, now, now);
    },
    [Symbol.asyncDispose]: () => rm(path, { force: true }),
  };
}

function self(): LockOwner {
  return { ...identityOf(process.pid)!, host: hostname() };
}

async function create(path: string): Promise<boolean> {
  try {
    await using file = await open(path, "wx");
    await file.writeFile(JSON.stringify(self()));
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw storageError(error, path) ?? error;
  }
}

/** A lock that has just been freed counts as abandoned too. */
async function ownerUnlessAbandoned(path: string, staleMs: number): Promise<LockOwner | undefined> {
  try {
    const { mtimeMs } = await stat(path);
    const isStale = Date.now() - mtimeMs > staleMs;
    const owner = parseOwner(await readFile(path, "utf8"));
    // It is being written at this moment, or its writer was killed in that moment, or was an older version.
    if (owner === undefined) return Date.now() - mtimeMs > writingMs ? undefined : self();
    if (owner.host !== hostname() || owner.pid === process.pid) {
      const isEarlierProcess = owner.host === hostname() && owner.started !== self().started;
      return isStale || isEarlierProcess ? undefined : owner;
    }
    return identityOf(owner.pid)?.started === owner.started ? owner : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw storageError(error, path) ?? error;
  }
}

function parseOwner(text: string): LockOwner | undefined {
  try {
    const owner = JSON.parse(text) as Partial<LockOwner> | null;
    const { pid, host, started = null } = owner ?? {};
    return typeof pid === "number" && typeof host === "string" ? { pid, host, started } : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
