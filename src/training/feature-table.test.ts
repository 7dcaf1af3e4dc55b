import { existsSync, readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FeatureTable, type FeatureTableOptions, openFeatureTable } from "./feature-table.ts";

let directory: string;
let computed: [number, number][];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "features-"));
  computed = [];
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const key = { model: "abc", data: "def", view: 0 };
const rowOf = (row: number): number[] => [row, 10 * row, -row];

function opened(options: Partial<FeatureTableOptions> = {}): Promise<FeatureTable> {
  return openFeatureTable({
    directory,
    key,
    count: 10,
    shape: [3],
    chunkRows: 4,
    compute: async (start, end) => {
      computed.push([start, end]);
      return Float32Array.from(Array.from({ length: end - start }, (_, i) => rowOf(start + i)).flat());
    },
    ...options,
  });
}

const dataFile = (): string => join(directory, readdirSync(directory).find((name) => name.endsWith(".f32"))!);
const all = Int32Array.from({ length: 10 }, (_, i) => i);

async function expectWhole(): Promise<void> {
  using table = await opened();
  expect([...table.read(all).data]).toEqual([...all].flatMap(rowOf).map((x) => (x === 0 ? expect.closeTo(0) : x)));
}

describe("openFeatureTable", () => {
  it("computes each row once and gives rows in any order", async () => {
    using table = await opened();
    expect(computed).toEqual([
      [0, 4],
      [4, 8],
      [8, 10],
    ]);
    expect(table.read(Int32Array.of(7, 1, 7)).shape).toEqual([3, 3]);
    expect([...table.read(Int32Array.of(7, 1, 7)).data]).toEqual([7, 70, -7, 1, 10, -1, 7, 70, -7]);
    using again = await opened();
    expect(computed).toHaveLength(3);
    expect(again.count).toBe(10);
  });

  it.each(["model", "data", "view", "more"])("is another table when %s changes", async (changed) => {
    using _ = await opened();
    computed = [];
    using __ = await opened({ key: { ...key, [changed]: "other" } });
    expect(computed).toHaveLength(3);
  });

  it("is another table for another number of rows under the same key", async () => {
    using _ = await opened();
    computed = [];
    using __ = await opened({ count: 9 });
    expect(computed).toHaveLength(3);
  });

  it("goes on behind the last chunk that was written when it is aborted", async () => {
    const controller = new AbortController();
    const compute: FeatureTableOptions["compute"] = async (start, end) => {
      if (start === 4) controller.abort(new Error("stopped"));
      return Float32Array.from(Array.from({ length: end - start }, (_, i) => rowOf(start + i)).flat());
    };
    await expect(opened({ compute, signal: controller.signal })).rejects.toThrow("stopped");
    expect(readdirSync(directory).some((name) => name.endsWith(".lock"))).toBe(false);
    await expectWhole();
    expect(computed).toEqual([[8, 10]]);
  });

  it("goes on when the computation fails in between", async () => {
    const compute = async (start: number): Promise<Float32Array> => {
      if (start === 4) throw new Error("no memory");
      return Float32Array.from([0, 1, 2, 3].flatMap((row) => rowOf(start + row)));
    };
    await expect(opened({ compute })).rejects.toThrow("no memory");
    await expectWhole();
    expect(computed).toEqual([
      [4, 8],
      [8, 10],
    ]);
  });

  it("computes anew what was altered or cut off", async () => {
    (await opened())[Symbol.dispose]();
    await using file = await open(dataFile(), "r+");
    await file.write(Uint8Array.of(1, 2, 3), 0, 3, 4 * 12 + 5);
    computed = [];
    await expectWhole();
    expect(computed).toEqual([
      [4, 8],
      [8, 10],
    ]);
    truncateSync(dataFile(), statSync(dataFile()).size - 1);
    computed = [];
    await expectWhole();
    expect(computed).toEqual([[8, 10]]);
  });

  it("trusts no journal that is damaged", async () => {
    (await opened())[Symbol.dispose]();
    const journal = dataFile().replace(/f32$/, "json");
    for (const text of ["", "{", '{"formatVersion":1}', "[]"]) {
      writeFileSync(journal, text);
      computed = [];
      await expectWhole();
      expect(computed).toHaveLength(3);
    }
  });

  it("lets one process after the other compute", async () => {
    const tables = await Promise.all([opened(), opened(), opened()]);
    expect(computed).toHaveLength(3);
    for (const table of tables) table[Symbol.dispose]();
  });

  it("takes over the lock of a process that is gone", async () => {
    (await opened())[Symbol.dispose]();
    const lock = dataFile().replace(/f32$/, "lock");
    // Above the largest number that Linux gives to a process.
    writeFileSync(lock, JSON.stringify({ pid: 4_194_305, started: null, host: hostname() }));
    (await opened())[Symbol.dispose]();
    writeFileSync(lock, JSON.stringify({ pid: process.pid, started: "another start", host: hostname() }));
    (await opened())[Symbol.dispose]();
    expect(existsSync(lock)).toBe(false);
  });
});
