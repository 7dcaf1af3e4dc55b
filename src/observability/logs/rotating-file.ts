import { closeSync, copyFileSync, fstatSync, ftruncateSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";

export interface RotatingFileOptions {
  readonly path: string;
  /** The file is begun anew before it grows beyond this; default 10 MB. */
  readonly maxBytes?: number;
  /** Kept as path.1 (the newest) to path.N; default 5. */
  readonly backups?: number;
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
const retryMs = 5000;

/**
 * A log file of bounded size whose name never changes hands: when it is full its content is copied to path.1 and the
 * file is emptied in place, so that a `tail -f` that has it open goes on with the new lines (a renamed file would leave
 * it with the old ones). Lines are written at once, in whole and in order: nothing is lost when the process ends. A full
 * disk or a missing right loses lines, counts them and never throws; writing goes on as soon as it is possible.
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
  #retryAt = Number.NEGATIVE_INFINITY;
  /** Whether the file ends in the middle of a line, after a write that the disk took only a part of. */
  #torn = false;

  constructor(options: RotatingFileOptions) {
    this.#options = {
      maxBytes: 10_000_000,
      backups: 5,
      onFailure: () => undefined,
      now: () => performance.now(),
      ...options,
    };
    this.#attempt(() => this.#open());
  }

  /** @param line with its line feed */
  write(line: string): void {
    if (this.#fd === undefined && this.#options.now() < this.#retryAt) {
      this.#lost++;
      return;
    }
    this.#attempt(() => {
      const fd = this.#open();
      const bytes = Buffer.from(this.#torn ? `\n${line}` : line);
      if (this.#bytes > 0 && this.#bytes + bytes.length > this.#options.maxBytes) this.#rotate(fd);
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
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#retryAt = Number.POSITIVE_INFINITY;
  }

  #attempt(work: () => void): void {
    try {
      work();
      this.#problem = null;
    } catch (error) {
      this.#lost++;
      this.#problem = error instanceof Error ? error.message : String(error);
      this.#options.onFailure(error);
    }
  }

  #open(): number {
    if (this.#fd !== undefined) return this.#fd;
    this.#retryAt = this.#options.now() + retryMs;
    mkdirSync(dirname(this.#options.path), { recursive: true });
    // Appending: also two processes that share the file write whole lines, and an emptied file is written from its start.
    this.#fd = openSync(this.#options.path, "a");
    this.#bytes = fstatSync(this.#fd).size;
    return this.#fd;
  }

  #rotate(fd: number): void {
    const { path, backups, maxBytes } = this.#options;
    // Another process may have emptied the file already.
    this.#bytes = fstatSync(fd).size;
    if (this.#bytes < maxBytes / 2) return;
    for (let i = backups - 1; i >= 1; i--) renameIfThere(`${path}.${i}`, `${path}.${i + 1}`);
    if (backups > 0) copyFileSync(path, `${path}.1`);
    ftruncateSync(fd, 0);
    this.#bytes = 0;
    this.#torn = false;
    this.#rotations++;
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}
