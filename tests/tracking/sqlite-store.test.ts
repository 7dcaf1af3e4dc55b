import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import Database from "libsql";
import { afterAll, describe, expect, it } from "vitest";
import { openSqlStore } from "../../src/tracking/sql/store.ts";
import { describeSqlStore } from "./describe-sql-store.ts";
import { describeTrackingStore } from "./describe-tracking-store.ts";

const folder = mkdtempSync(join(tmpdir(), "cifar-tracking-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
const newPath = (): string => {
  count += 1;
  return join(folder, `store-${count}`, "tracking.sqlite");
};

let path = "";
describeTrackingStore("sqlite", {
  open: () => {
    path = newPath();
    return openSqlStore({ path });
  },
  reopen: () => openSqlStore({ path }),
});

describe("openSqlStore", () => {
  describeSqlStore(() => openSqlStore({ path: newPath() }));

  it("keeps a write-ahead log and notes its migrations", async () => {
    const file = newPath();
    await using store = await openSqlStore({ path: file });
    await store.createRun("0");
    const raw = new Database(file);
    expect(raw.prepare("PRAGMA journal_mode").get()).toMatchObject({ journal_mode: "wal" });
    expect(raw.prepare("SELECT version FROM schema_migrations").all()).toEqual(
      [1, 2, 3].map((version) => ({ version })),
    );
    raw.close();
  });

  it("serves two connections that write at the same time", async () => {
    const file = newPath();
    await using first = await openSqlStore({ path: file });
    await using second = await openSqlStore({ path: file });
    const { runId } = (await first.createRun("0")).info;
    const write = async (store: typeof first, key: string): Promise<void> => {
      for (let step = 0; step < 30; step++)
        await store.logBatch(runId, { metrics: [{ key, value: step, step, timestamp: step }] });
    };
    await Promise.all([write(first, "a"), write(second, "b")]);
    expect((await first.getMetricHistory(runId, "a")).items).toHaveLength(30);
    expect((await first.getMetricHistory(runId, "b")).items).toHaveLength(30);
  });

  it("refuses a file that is no database, and one that a newer version wrote", async () => {
    const foreign = join(folder, "foreign.sqlite");
    writeFileSync(foreign, "this is no database, only text that is long enough to be read as a header".repeat(20));
    await expect(openSqlStore({ path: foreign })).rejects.toMatchObject({ code: "TRACKING_STORE_FAILED" });
    const newer = newPath();
    await (await openSqlStore({ path: newer })).close();
    const raw = new Database(newer);
    raw.exec("INSERT INTO schema_migrations VALUES (99, 'future', 0)");
    raw.close();
    await expect(openSqlStore({ path: newer })).rejects.toThrow(/schema version 99/);
  });

  it("works in memory", async () => {
    await using store = await openSqlStore({ path: ":memory:" });
    await store.createRun("0", { runName: "m" });
    expect((await store.searchRuns({ experimentIds: ["0"] })).items).toHaveLength(1);
  });

  it("has every acknowledged batch after kill -9", async () => {
    const built = new URL("../../dist/tracking/sql/store.js", import.meta.url);
    expect(existsSync(fileURLToPath(built)), "build first: node scripts/build.mjs").toBe(true);
    const file = newPath();
    const program = `
      import { openSqlStore } from ${JSON.stringify(built.href)};
      import { writeSync } from "node:fs";
      const store = await openSqlStore({ path: ${JSON.stringify(file)} });
      const { runId } = (await store.createRun("0")).info;
      writeSync(1, runId + "\\n");
      for (let step = 0; ; step++) {
        const metrics = Array.from({ length: 20 }, (_, i) => ({ key: "m" + i, value: step, step, timestamp: step }));
        await store.logBatch(runId, { metrics });
        writeSync(1, step + "\\n");
      }`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line);
      if (lines.length === 40) child.kill("SIGKILL");
    }
    await closed;
    expect(child.signalCode).toBe("SIGKILL");
    const [runId, ...acknowledged] = lines;
    const last = Number(acknowledged.at(-1));
    expect(last).toBeGreaterThanOrEqual(38);
    await using store = await openSqlStore({ path: file });
    const lengths = new Set<number>();
    for (let i = 0; i < 20; i++) {
      const { items: history } = await store.getMetricHistory(runId!, `m${i}`);
      expect(history.map(({ step }) => step)).toEqual(history.map((_, index) => index));
      lengths.add(history.length);
    }
    // One length: no batch is there in part. The last one may have been written but not yet acknowledged.
    expect(lengths.size).toBe(1);
    expect([last + 1, last + 2]).toContain([...lengths][0]);
    expect((await store.getRun(runId!)).info.status).toBe("RUNNING");
  });
});
