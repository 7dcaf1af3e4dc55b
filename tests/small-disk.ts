import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmdirSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SmallDisk {
  readonly path: string;
  /** Only root may mount one, on Linux. */
  readonly isMounted: boolean;
  unmount(): void;
}

/** A disk of 2 MiB. */
export function mountSmallDisk(): SmallDisk {
  const path = mkdtempSync(join(tmpdir(), "small-disk-"));
  const isMounted = mount(path);
  return {
    path,
    isMounted,
    unmount() {
      if (isMounted) execFileSync("umount", ["--lazy", path]);
      rmdirSync(path);
    },
  };
}

function mount(path: string): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", path], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Writes a file until its disk is full, to the last byte. */
export function fill(file: string): void {
  const part = Buffer.alloc(4096);
  const descriptor = openSync(file, "w");
  try {
    for (;;) writeSync(descriptor, part);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  } finally {
    closeSync(descriptor);
  }
}
