import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { openTracking } from "../../src/tracking/open.ts";
import { startTrackingServer } from "../../src/tracking/server/server.ts";
import { mlrunsSink } from "../../src/tracking/transfer/mlruns/sink.ts";
import { mlrunsSource } from "../../src/tracking/transfer/mlruns/source.ts";
import { storeSink, storeSource } from "../../src/tracking/transfer/store-transfer.ts";
import { transfer } from "../../src/tracking/transfer/transfer.ts";
import { findMlflowPython, mlflowEnv, mlflowMissing, startMlflowServer } from "./mlflow.ts";

const python = findMlflowPython();

async function client(cwd: string, ...args: readonly string[]): Promise<unknown[]> {
  const program = new URL("moved_store.py", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(python ?? "", [program, ...args], {
    cwd,
    env: mlflowEnv,
    timeout: 200_000,
    maxBuffer: 1 << 26,
  });
  const lines = stdout.split("\n").filter((line) => line.startsWith("STORE "));
  return lines.map((line) => JSON.parse(line.slice("STORE ".length)));
}

describe.skipIf(python === undefined)(python === undefined ? mlflowMissing : "what MLflow's client has written", () => {
  it("is the same for it after an import, an export and a copy to a server of MLflow", async () => {
    const folder = mkdtempSync(join(tmpdir(), "cifar-moved-"));
    const mlruns = join(folder, "mlruns");
    await using theirs = await startMlflowServer(python ?? "");
    await using ours = await startTrackingServer({ port: 0, store: join(folder, "ours.sqlite") });
    try {
      await client(folder, "write", pathToFileURL(mlruns).href);
      const [here, there] = await Promise.all(
        [ours, theirs].map(({ url }) => openTracking({ kind: "server", url, authorization: undefined })),
      );
      await using first = here!;
      await using second = there!;
      const moved = { experiments: 2, runs: 3, present: 0, loggedModels: 1, models: 1 };
      expect(await transfer(mlrunsSource(mlruns), storeSink(first))).toEqual(moved);
      const back = join(folder, "back");
      expect(await transfer(storeSource(first), mlrunsSink(back))).toEqual(moved);
      expect(await transfer(storeSource(first), storeSink(second))).toEqual(moved);
      const again = { experiments: 2, runs: 0, present: 3, loggedModels: 0, models: 0 };
      expect(await transfer(storeSource(first), storeSink(second))).toEqual(again);
      const folders = [mlruns, back].map((path) => pathToFileURL(path).href);
      const [origin, ...others] = await client(folder, "dump", ...folders, ours.url, theirs.url);
      expect(origin).toMatchObject({ models: [{ name: "moved", aliases: { champion: "1" }, doubles: [[2, 4]] }] });
      expect(others).toHaveLength(3);
      for (const other of others) expect(other).toEqual(origin);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 400_000);
});
