import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTrackingServer } from "../../src/tracking/server/server.ts";
import { findMlflowPython, mlflowMissing, startMlflowServer } from "./mlflow.ts";
import { compare, type Difference, normalise } from "./raw/compare.ts";
import { unexplained } from "./raw/differences.ts";
import { experimentCalls } from "./raw/experiments.ts";
import { artifactCalls, loggedModelCalls, serverCalls } from "./raw/models-and-artifacts.ts";
import { type Answer, openRawCaller, type RawCaller } from "./raw/raw-caller.ts";
import { registryCalls } from "./raw/registry.ts";
import { runCalls } from "./raw/runs.ts";
import { historyCalls, searchCalls } from "./raw/search.ts";

const python = findMlflowPython();
const groups = [
  experimentCalls,
  runCalls,
  searchCalls,
  historyCalls,
  loggedModelCalls,
  artifactCalls,
  registryCalls,
  serverCalls,
] satisfies ((caller: RawCaller) => Promise<void>)[];

/** Every call of the API without a client between, wrong input too, at our server and at MLflow's own. */
describe.skipIf(python === undefined)(python === undefined ? mlflowMissing : "raw calls", () => {
  const folder = mkdtempSync(join(tmpdir(), "cifar-raw-calls-"));
  let ours: readonly Answer[];
  let differences: readonly Difference[];

  const answersOf = async (server: AsyncDisposable & { readonly url: string }): Promise<Answer[]> => {
    try {
      const caller = openRawCaller(server.url);
      for (const group of groups) await group(caller);
      return normalise(caller);
    } finally {
      await server[Symbol.asyncDispose]();
    }
  };

  beforeAll(async () => {
    ours = await answersOf(await startTrackingServer({ port: 0, store: join(folder, "tracking.sqlite") }));
    const theirs = await answersOf(await startMlflowServer(python ?? ""));
    differences = compare(ours, theirs);
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("are answered as MLflow's server answers them, but for the differences that are explained", () => {
    expect(unexplained(differences).differences).toEqual([]);
  });

  it("differ wherever a difference is explained", () => {
    expect(unexplained(differences).stale).toEqual([]);
  });

  it("never make our server fail", () => {
    expect(ours.filter(({ status, body }) => status >= 500 && !isState(body))).toEqual([]);
  });
});

/** MLflow answers with status 500 where an experiment or run is in the wrong state. */
function isState(body: unknown): boolean {
  return (body as { readonly error_code?: string }).error_code === "INVALID_STATE";
}
