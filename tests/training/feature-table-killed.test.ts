import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type FeatureTable, openFeatureTable } from "../../src/training/feature-table.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "killed-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const build = new URL("../../dist/training/feature-table.js", import.meta.url).href;
const shape = { key: { model: "abc" }, count: 40, shape: [3], chunkRows: 4 };

/** A process of its own that computes the table, telling of each chunk that it begins. */
const program = `
  import { setTimeout as sleep } from "node:timers/promises";
  import { openFeatureTable } from ${JSON.stringify(build)};
  await openFeatureTable({
    ...JSON.parse(process.argv[1]),
    async compute(start, end) {
      console.log(start);
      await sleep(20);
      return Float32Array.from({ length: 3 * (end - start) }, (_, i) => 3 * start + i);
    },
  });
`;

/** Kills it with SIGKILL when it begins the chunk at this row. */
async function killedAt(row: number): Promise<number[]> {
  const args = ["--input-type=module", "-e", program, JSON.stringify({ directory, ...shape })];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const begun: number[] = [];
  const ended = once(child, "close");
  for await (const line of createInterface({ input: child.stdout })) {
    begun.push(Number(line));
    if (Number(line) >= row) child.kill("SIGKILL");
  }
  const [code, signal] = await ended;
  expect({ code, signal }).toEqual({ code: null, signal: "SIGKILL" });
  return begun;
}

async function finish(): Promise<{ table: FeatureTable; computed: number[] }> {
  const computed: number[] = [];
  const table = await openFeatureTable({
    directory,
    ...shape,
    async compute(start, end) {
      computed.push(start);
      return Float32Array.from({ length: 3 * (end - start) }, (_, i) => 3 * start + i);
    },
  });
  return { table, computed };
}

it("goes on behind the last whole chunk of a process that was killed, as often as it is killed", async () => {
  expect(await killedAt(12)).toEqual([0, 4, 8, 12]);
  expect(await killedAt(24)).toEqual([12, 16, 20, 24]);
  const { table, computed } = await finish();
  using open = table;
  expect(computed).toEqual([24, 28, 32, 36]);
  const rows = open.read(Int32Array.from({ length: 40 }, (_, i) => i));
  expect([...rows.data]).toEqual(Array.from({ length: 120 }, (_, i) => i));
});

it("takes no damaged chunk of a killed process for a whole one", async () => {
  await killedAt(20);
  const name = (await readdir(directory)).find((file) => file.endsWith(".f32"))!;
  await using file = await open(join(directory, name), "r+");
  // The third chunk: one bit.
  const at = 2 * 4 * 12 + 5;
  const byte = (await readFile(join(directory, name)))[at]!;
  await file.write(Uint8Array.of(byte ^ 1), 0, 1, at);
  const { table, computed } = await finish();
  using whole = table;
  expect(computed[0]).toBe(8);
  expect([...whole.read(Int32Array.of(8, 9)).data]).toEqual([24, 25, 26, 27, 28, 29]);
});
