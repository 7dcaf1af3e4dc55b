import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTrackingServer, type TrackingServer } from "../../src/tracking/server/server.ts";

// What users of tracking servers have met, through the REST API alone.
const folder = mkdtempSync(join(tmpdir(), "cifar-tracking-protocol-"));
let server: TrackingServer;
beforeAll(async () => {
  server = await startTrackingServer({ port: 0, store: join(folder, "t.sqlite") });
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Run {
  readonly info: { readonly run_id: string };
  readonly data: {
    readonly metrics?: { key: string; value: unknown; step: number }[];
    readonly params?: { key: string; value: string }[];
    readonly tags?: { key: string; value: string }[];
  };
}

const api = (path: string) => `${server.url}/api/2.0/${path}`;

async function call<T>(path: string, body: unknown, status = 200): Promise<T> {
  const response = await fetch(api(`mlflow/${path}`), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  expect(response.status, `${path}: ${text}`).toBe(status);
  return JSON.parse(text) as T;
}

/** A strict parser: NaN and Infinity are no JSON. */
async function read<T>(path: string): Promise<T> {
  const response = await fetch(api(`mlflow/${path}`));
  expect(response.status).toBe(200);
  return JSON.parse(await response.text()) as T;
}

let names = 0;
async function newExperiment(): Promise<string> {
  return (await call<{ experiment_id: string }>("experiments/create", { name: `experiment ${++names}` })).experiment_id;
}
async function newRun(experimentId = "0"): Promise<string> {
  return (await call<{ run: Run }>("runs/create", { experiment_id: experimentId, start_time: 1 })).run.info.run_id;
}
const getRun = async (id: string) => (await read<{ run: Run }>(`runs/get?run_id=${id}`)).run;
const history = async (id: string, key: string) =>
  (
    await read<{ metrics?: { value: unknown; step: number; timestamp: number }[] }>(
      `metrics/get-history?run_id=${id}&metric_key=${key}`,
    )
  ).metrics ?? [];

describe("artifacts", () => {
  it("with letters beyond ASCII in their names are downloaded under ASCII headers", async () => {
    const path = `mlflow-artifacts/artifacts/${encodeURIComponent("Tribeč.html")}`;
    expect((await fetch(api(path), { method: "PUT", body: "hill" })).status).toBe(200);
    const response = await fetch(api(path));
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("hill");
    expect(response.headers.get("content-disposition")).toBe(
      `attachment; filename="Tribe_.html"; filename*=UTF-8''Tribe%C4%8D.html`,
    );
  });
});

describe("runs ordered by a metric", () => {
  it("come once each, page by page, those of NaN and those without it last both ways", async () => {
    const experiment = await newExperiment();
    const values = new Map<string, unknown>();
    for (const value of [1, "NaN", undefined, -1, "Infinity"]) {
      const id = await newRun(experiment);
      values.set(id, value);
      if (value !== undefined) await call("runs/log-metric", { run_id: id, key: "m", value, timestamp: 1, step: 0 });
    }
    const order = async (direction: string): Promise<unknown[]> => {
      const found: string[] = [];
      let page_token: string | undefined;
      do {
        const body = { experiment_ids: [experiment], order_by: [`metrics.m ${direction}`], max_results: 2, page_token };
        const answer = await call<{ runs: Run[]; next_page_token?: string }>("runs/search", body);
        found.push(...answer.runs.map(({ info }) => info.run_id));
        page_token = answer.next_page_token;
      } while (page_token !== undefined && page_token !== "");
      expect(new Set(found).size).toBe(5);
      return found.map((id) => values.get(id));
    };
    const ascending = await order("ASC");
    expect(ascending.slice(0, 3)).toEqual([-1, 1, "Infinity"]);
    const descending = await order("DESC");
    expect(descending.slice(0, 3)).toEqual(["Infinity", 1, -1]);
    for (const last of [ascending.slice(3), descending.slice(3)])
      expect(new Set(last)).toEqual(new Set(["NaN", undefined]));
  });
});

describe("log-batch", () => {
  it("of 150 keys sent twice is taken twice, and does not double the history", async () => {
    const id = await newRun();
    const metrics = Array.from({ length: 150 }, (_, i) => ({ key: `k${i}`, value: i, timestamp: 5, step: 1 }));
    const body = { run_id: id, metrics, params: [{ key: "p", value: "1" }] };
    await call("runs/log-batch", body);
    await call("runs/log-batch", body);
    expect(await history(id, "k149")).toHaveLength(1);
    expect((await getRun(id)).data.metrics).toHaveLength(150);
    const { error_code } = await call<{ error_code: string }>(
      "runs/log-batch",
      { run_id: id, params: [{ key: "p", value: "2" }] },
      400,
    );
    expect(error_code).toBe("INVALID_PARAMETER_VALUE");
  });

  it("wants a timestamp, takes step 0 for none, and keeps an empty parameter", async () => {
    const id = await newRun();
    await call("runs/log-batch", { run_id: id, metrics: [{ key: "m", value: 1, step: 1 }] }, 400);
    await call("runs/log-batch", { run_id: id, metrics: [{ key: "m", value: 1, timestamp: 7 }] });
    await call("runs/log-parameter", { run_id: id, key: "empty", value: "" });
    expect(await history(id, "m")).toEqual([{ key: "m", value: 1, timestamp: 7, step: 0 }]);
    expect((await getRun(id)).data.params).toEqual([{ key: "empty", value: "" }]);
  });
});

describe("metrics", () => {
  it("of NaN and infinities are strict JSON that the stock client reads", async () => {
    const id = await newRun();
    for (const value of ["NaN", "Infinity", "-Infinity"])
      await call("runs/log-metric", { run_id: id, key: value.replace("-", "minus "), value, timestamp: 1, step: 0 });
    const values = Object.fromEntries((await getRun(id)).data.metrics!.map(({ key, value }) => [key, value]));
    // Python's float() takes these texts.
    expect(values.NaN).toBe("NaN");
    expect(Number(values.Infinity)).toBeGreaterThanOrEqual(1.797e308);
    expect(Number(values["minus Infinity"])).toBeLessThanOrEqual(-1.797e308);
  });

  it("have as latest the one of the highest step, then time, then value", async () => {
    const id = await newRun();
    for (const [step, timestamp, value] of [
      [3, 50, 20],
      [3, 40, 100],
      [3, 50, 10],
      [-3, 900, 900],
    ])
      await call("runs/log-metric", { run_id: id, key: "m", value, timestamp, step });
    expect((await getRun(id)).data.metrics).toEqual([{ key: "m", value: 20, timestamp: 50, step: 3 }]);
  });

  it("of steps that are logged again later are all kept", async () => {
    const id = await newRun();
    const log = (from: number, to: number, timestamp: number) =>
      call("runs/log-batch", {
        run_id: id,
        metrics: Array.from({ length: to - from + 1 }, (_, i) => ({ key: "m", value: i, timestamp, step: from + i })),
      });
    await log(0, 249, 1);
    await log(201, 249, 2);
    expect(await history(id, "m")).toHaveLength(250 + 49);
  });
});

describe("old words and bad tokens", () => {
  it("set-tag takes run_uuid; a page token that is none is refused", async () => {
    const id = await newRun();
    await call("runs/set-tag", { run_uuid: id, key: "t", value: "v" });
    expect((await getRun(id)).data.tags).toContainEqual({ key: "t", value: "v" });
    await call("runs/search", { experiment_ids: ["0"], page_token: "evilhax" }, 400);
    await call("experiments/search", { max_results: 5, page_token: "evilhax" }, 400);
  });

  it("an experiment that holds a deleted run can be deleted", async () => {
    const experiment = await newExperiment();
    await call("runs/delete", { run_id: await newRun(experiment) });
    await call("experiments/delete", { experiment_id: experiment });
    const { experiment: found } = await read<{ experiment: { lifecycle_stage: string } }>(
      `experiments/get?experiment_id=${experiment}`,
    );
    expect(found.lifecycle_stage).toBe("deleted");
  });
});
