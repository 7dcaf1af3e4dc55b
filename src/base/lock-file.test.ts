import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isHeld, type LockOptions, lockFile, tryLockFile } from "./lock-file.ts";
import { identityOf } from "./process-identity.ts";

let root: string;
let count = 0;
const place = () => join(root, `${++count}.lock`);
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "lock-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Whether a lock that says so can be taken. */
async function isTaken(content: string, options?: LockOptions & { readonly ageMs?: number }): Promise<boolean> {
  const path = place();
  await writeFile(path, content);
  const then = new Date(Date.now() - (options?.ageMs ?? 0));
  await utimes(path, then, then);
  const found = await tryLockFile(path, options);
  if (!isHeld(found)) return false;
  await found[Symbol.asyncDispose]();
  expect(existsSync(path)).toBe(false);
  return true;
}

const host = hostname();
const me = identityOf(process.pid)!;
const owner = (change: object) => JSON.stringify({ ...me, host, ...change });

describe("tryLockFile", () => {
  it("gives the lock to one of many, and tells the others who has it", async () => {
    const path = place();
    const found = await Promise.all(Array.from({ length: 20 }, () => tryLockFile(path)));
    const locks = found.filter(isHeld);
    expect(locks).toHaveLength(1);
    expect(found.filter((each) => !isHeld(each))).toEqual(Array.from({ length: 19 }, () => ({ ...me, host })));
    await locks[0]![Symbol.asyncDispose]();
    expect(isHeld(await tryLockFile(path))).toBe(true);
  });

  it("gives an abandoned lock to one of many", async () => {
    for (let round = 0; round < 20; round++) {
      const path = place();
      await writeFile(path, owner({ pid: 2 ** 30 }));
      const found = await Promise.all(Array.from({ length: 10 }, () => tryLockFile(path)));
      expect(found.filter(isHeld).length).toBeLessThanOrEqual(1);
      const last = await tryLockFile(path);
      expect([...found, last].filter(isHeld)).toHaveLength(1);
    }
  });

  it("takes over what a process that is gone has left, and what another program of its number did not make", async () => {
    const child = spawn(process.execPath, ["-e", ""]);
    const { pid } = child;
    await once(child, "exit");
    expect(await isTaken(owner({ pid }))).toBe(true);
    if (me.started === null) return;
    expect(await isTaken(owner({ started: "another start" }))).toBe(true);
    expect(await isTaken(owner({ pid: process.ppid, started: "another start" }))).toBe(true);
    expect(await isTaken(owner({ ...identityOf(process.ppid) }))).toBe(false);
  });

  it("respects a lock of another host until it is not touched any more", async () => {
    const content = owner({ host: "elsewhere", pid: 1 });
    expect(await isTaken(content, { staleMs: 60_000, ageMs: 30_000 })).toBe(false);
    expect(await isTaken(content, { staleMs: 60_000, ageMs: 90_000 })).toBe(true);
  });

  it("respects a lock that is being written, and takes over one whose writing was cut off", async () => {
    for (const content of ["", "{", "4194305 0"]) {
      expect(await isTaken(content, { ageMs: 1000 })).toBe(false);
      expect(await isTaken(content, { ageMs: 15_000 })).toBe(true);
    }
  });

  it("is not held up by a takeover that was killed", async () => {
    const path = place();
    await writeFile(path, owner({ pid: 2 ** 30 }));
    await writeFile(`${path}.takeover`, owner({ pid: 2 ** 30 }));
    expect(isHeld(await tryLockFile(path))).toBe(false);
    expect(isHeld(await tryLockFile(path))).toBe(true);
  });
});

describe("lockFile", () => {
  it("waits until the lock is free", async () => {
    const path = place();
    const first = await lockFile(path);
    let isSecond = false;
    const second = lockFile(path, { pollMs: 5 }).then((lock) => {
      isSecond = true;
      return lock;
    });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(isSecond).toBe(false);
    await first[Symbol.asyncDispose]();
    await (await second)[Symbol.asyncDispose]();
    expect(isSecond).toBe(true);
  });

  it("ends with the reason of its signal", async () => {
    const path = place();
    await using _first = await lockFile(path);
    await expect(lockFile(path, { pollMs: 5, signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow(
      "enough",
    );
  });
});
