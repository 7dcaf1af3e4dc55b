import {
  closeSync,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { identityOf } from "../../base/process-identity.ts";

export interface RotatingFileOptions {
  readonly path: string;
  /** The file is begun anew before it grows beyond this; default 10 MB. */
  readonly maxBytes?: number;
  /** Kept as path.1 (the newest) to path.N; default 5. */
  readonly backups?: number;
  /** What a reader that follows the file gets to keep up with it before and after it is emptied; default 250 ms. */
  readonly settleMs?: number;
  /** A rotation that failed (no room for the backup) is tried again after this time; default 5 s. */
  readonly retryMs?: number;
  /** Called for each line that could not be written. */
  readonly onFailure?: (error: unknown) => void;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

export interface RotatingFileStats {
  readonly path: string;
  readonly bytes: number;
  /** Written, lost and rotated since the start of the process. */
  readonly lines: number;
  readonly lost: number;
  readonly rotations: number;
  /** Seconds since 1970; null before the first line. */
  readonly lastWriteAt: number | null;
  /** Why the last line could not be written; null while all is well. */
  readonly problem: string | null;
}

/** A file that can't be opened is tried again after this time. */
const reopenMs = 5000;
/** So often it is looked whether the file still has its name; whether it was deleted is seen at the next line. */
const lookMs = 1000;

interface Aside {
  readonly fd: number;
  readonly path: string;
  timer: NodeJS.Timeout;
  /** How far the rotation has come: backups moved on, file copied and emptied, so many bytes brought back. */
  hasMoved: boolean;
  emptied: boolean;
  appended: number;
  /** Why it does not go on. */
  failure: unknown;
}

/**
 * A log file of bounded size whose name never changes hands: when it is full its content is copied to path.1 and the
 * file is emptied in place, so that a `tail -f` that has it open goes on with the new lines (a renamed file would leave
 * it with the old ones). A reader needs a moment to see the last lines before the file is emptied, and that it was
 * emptied before it grows again: in these two moments (`settleMs` each) new lines go to a file beside it, which then
 * becomes the file's beginning. Lines are written at once, in whole and in order: nothing is lost when the process ends.
 * A full disk or a missing right loses lines, counts them and never throws; writing goes on as soon as it is possible.
 * Where there is no room for a backup the file beside it grows to maxBytes and no further. A file that was deleted or
 * renamed by somebody else is made anew under its name.
 */
export class RotatingFile {
  readonly #options: Required<RotatingFileOptions>;
  #fd: number | undefined;
  #bytes = 0;
  #lines = 0;
  #lost = 0;
  #rotations = 0;
  #lastWriteAt: number | null = null;
  #problem: string | null = null;
  #failure: unknown;
  #closed = false;
  #retryAt = Number.NEGATIVE_INFINITY;
  /** Whether the file ends in the middle of a line, after a write that the disk took only a part of. */
  #torn = false;
  /** While readers settle: where new lines go. */
  #aside: Aside | undefined;
  #lookAt = Number.NEGATIVE_INFINITY;

  constructor(options: RotatingFileOptions) {
    this.#options = {
      maxBytes: 10_000_000,
      backups: 5,
      settleMs: 250,
      retryMs: 5000,
      onFailure: () => undefined,
      now: () => performance.now(),
      ...options,
    };
    this.#attempt(() => this.#open());
  }

  /** @param line with its line feed */
  write(line: string): void {
    if (this.#closed) {
      this.#lost++;
      return;
    }
    if (this.#fd === undefined && this.#options.now() < this.#retryAt) {
      this.#lose(this.#failure);
      return;
    }
    this.#attempt(() => {
      this.#dropVanished();
      const main = this.#open();
      const bytes = Buffer.from(this.#torn ? `\n${line}` : line);
      const isFull = this.#bytes > 0 && this.#bytes + bytes.length > this.#options.maxBytes;
      if (isFull && this.#aside === undefined) this.#rotate(main);
      else if (isFull && this.#aside?.failure !== undefined) throw this.#aside.failure;
      const fd = this.#aside?.fd ?? main;
      let done = 0;
      try {
        while (done < bytes.length) done += writeSync(fd, bytes, done);
      } finally {
        this.#bytes += done;
        if (done > 0) this.#torn = done < bytes.length;
      }
      this.#lines++;
      this.#lastWriteAt = Date.now() / 1000;
    });
  }

  get stats(): RotatingFileStats {
    return {
      path: this.#options.path,
      bytes: this.#bytes,
      lines: this.#lines,
      lost: this.#lost,
      rotations: this.#rotations,
      lastWriteAt: this.#lastWriteAt,
      problem: this.#problem,
    };
  }

  close(): void {
    this.#attempt(() => this.#finishRotation());
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#closed = true;
  }

  #attempt(work: () => void): void {
    try {
      work();
      this.#problem = null;
    } catch (error) {
      this.#lose(error);
    }
  }

  #lose(error: unknown): void {
    this.#lost++;
    this.#failure = error;
    this.#problem = error instanceof Error ? error.message : String(error);
    this.#options.onFailure(error);
  }

  /** Lets go of a file that has lost its name: what is written to it nobody finds. */
  #dropVanished(): void {
    if (this.#fd === undefined) return;
    const { path, now } = this.#options;
    const { nlink, ino } = fstatSync(this.#fd);
    if (nlink > 0 && now() < this.#lookAt) return;
    this.#lookAt = now() + lookMs;
    if (nlink > 0 && statSync(path, { throwIfNoEntry: false })?.ino === ino) return;
    if (this.#aside !== undefined) {
      // Its file, if it is still there, has the beginning of the next rotation.
      clearTimeout(this.#aside.timer);
      closeSync(this.#aside.fd);
      this.#aside = undefined;
    }
    closeSync(this.#fd);
    this.#fd = undefined;
    this.#torn = false;
  }

  #open(): number {
    if (this.#fd !== undefined) return this.#fd;
    this.#retryAt = this.#options.now() + reopenMs;
    mkdirSync(dirname(this.#options.path), { recursive: true });
    // Appending: also two processes that share the file write whole lines, and an emptied file is written from its start.
    this.#fd = openSync(this.#options.path, "a+");
    endLine(this.#fd);
    for (const left of leftAside(this.#options.path)) this.#append(this.#fd, left);
    endLine(this.#fd);
    this.#bytes = fstatSync(this.#fd).size;
    return this.#fd;
  }

  /** Begins to rotate: what readers have not seen yet stands still for a moment. */
  #rotate(fd: number): void {
    const { path, maxBytes, settleMs } = this.#options;
    // Another process may have emptied the file already.
    this.#bytes = fstatSync(fd).size;
    if (this.#bytes < maxBytes / 2) return;
    const aside = `${path}${asideMark}${process.pid}`;
    const asideFd = openSync(aside, "a");
    const timer = this.#later(() => this.#empty(), settleMs);
    const begun = { hasMoved: false, emptied: false, appended: 0, failure: undefined };
    this.#aside = { fd: asideFd, path: aside, timer, ...begun };
    if (this.#torn) writeSync(fd, "\n");
    this.#bytes = 0;
    this.#torn = false;
    this.#rotations++;
  }

  /** A step of the rotation; one that fails is tried again until there is room. */
  #later(step: () => void, delayMs: number): NodeJS.Timeout {
    const timer = setTimeout(() => {
      try {
        step();
        if (this.#aside !== undefined) this.#aside.failure = undefined;
      } catch (error) {
        // No line is lost by that, not yet.
        this.#problem = error instanceof Error ? error.message : String(error);
        if (this.#aside === undefined) return;
        this.#aside.failure = error;
        this.#aside.timer = this.#later(step, this.#options.retryMs);
      }
    }, delayMs);
    return timer.unref();
  }

  #empty(): void {
    const aside = this.#aside;
    if (aside === undefined || this.#fd === undefined || aside.emptied) return;
    const { path, backups, settleMs } = this.#options;
    if (!aside.hasMoved) {
      for (let i = backups - 1; i >= 1; i--) renameIfThere(`${path}.${i}`, `${path}.${i + 1}`);
      aside.hasMoved = true;
    }
    if (backups > 0) copyWhole(path, `${path}.1`);
    ftruncateSync(this.#fd, 0);
    aside.emptied = true;
    aside.timer = this.#later(() => this.#finishRotation(), settleMs);
  }

  /** The lines of the meantime become the beginning of the file. */
  #finishRotation(): void {
    const aside = this.#aside;
    if (aside === undefined || this.#fd === undefined) return;
    clearTimeout(aside.timer);
    this.#empty();
    clearTimeout(aside.timer);
    const bytes = readFileSync(aside.path);
    while (aside.appended < bytes.length) aside.appended += writeSync(this.#fd, bytes, aside.appended);
    rmSync(aside.path);
    closeSync(aside.fd);
    this.#aside = undefined;
    this.#bytes = fstatSync(this.#fd).size;
  }

  #append(fd: number, path: string): void {
    const bytes = readFileSync(path);
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
    rmSync(path);
  }
}

const asideMark = ".next-";

/** What processes that were killed while they rotated have left beside the file. */
function leftAside(path: string): string[] {
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(`${basename(path)}${asideMark}`))
    .filter((name) => identityOf(Number(name.slice(name.lastIndexOf("-") + 1))) === undefined)
    .map((name) => join(dirname(path), name));
}

/** A process that was killed while it wrote leaves half a line: what comes next is none of it. */
function endLine(fd: number): void {
  const { size } = fstatSync(fd);
  const last = Buffer.alloc(1);
  if (size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last.toString() !== "\n") writeSync(fd, "\n");
}

/** Or nothing of it: half a backup only takes the room. */
function copyWhole(from: string, to: string): void {
  try {
    copyFileSync(from, to);
  } catch (error) {
    rmSync(to, { force: true });
    throw error;
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}
