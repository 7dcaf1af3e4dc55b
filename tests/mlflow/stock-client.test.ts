import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTrackingServer, type TrackingServer } from "../../src/tracking/server/server.ts";
import { findMlflowPython, mlflowEnv, mlflowMissing } from "./mlflow.ts";

const script = fileURLToPath(new URL("client_scenario.py", import.meta.url));
const groups = [...readFileSync(script, "utf8").matchAll(/^@group\ndef (\w+)/gm)].map(([, name]) => name!);
const python = findMlflowPython();

interface Answer {
  readonly group: string;
  readonly error: string | null;
}

/** The stock client, unchanged, against our server; the same script runs green against MLflow's own server. */
describe.skipIf(python === undefined)(python === undefined ? mlflowMissing : "MLflow's Python client", () => {
  const folder = mkdtempSync(join(tmpdir(), "cifar-stock-client-"));
  let server: TrackingServer;
  let answers: Map<string, Answer>;

  beforeAll(async () => {
    server = await startTrackingServer({ port: 0, store: join(folder, "tracking.sqlite") });
    answers = await runScenario(server.url, folder);
  }, 300_000);
  afterAll(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(groups)("%s", (group) => {
    expect(answers.get(group)).toEqual({ group, error: null });
  });
});

async function runScenario(url: string, folder: string): Promise<Map<string, Answer>> {
  const child = spawn(python ?? "", [script, url, folder], { env: mlflowEnv, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    err += chunk.toString();
  });
  await new Promise<void>((resolve) => child.once("close", () => resolve()));
  const lines = out.split("\n").filter((line) => line.startsWith('{"group"'));
  if (lines.length === 0) throw new Error(`the scenario did not start: ${err.slice(-2000)}`);
  return new Map(lines.map((line) => JSON.parse(line) as Answer).map((answer) => [answer.group, answer]));
}
