import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Actor } from "../../src/http/access/guard.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { metricTable } from "../../src/observability/metric-table.ts";
import { createServiceMetrics } from "../../src/observability/metrics.ts";
import { createSystemMonitor } from "../../src/observability/system.ts";
import { createApp } from "../../src/serving/app.ts";
import type { AlertsService } from "../../src/serving/dependencies.ts";
import { metricsInfoSchema } from "../../src/serving/monitoring-schemas.ts";
import { repositoryOf } from "./repository.ts";
import { tinyMetadata } from "./tiny-bundle.ts";

let app: FastifyInstance;
const calls: unknown[] = [];
const test = { ok: true, message: "all is well", checks: [{ name: "smtp", ok: true, message: "reachable" }] };

beforeAll(async () => {
  const system = createSystemMonitor();
  const record =
    (name: string) =>
    async (value: unknown, actor: Actor): Promise<{ recipients: Record<string, string[]> }> => {
      calls.push({ name, value, actor });
      return { recipients: { critical: ["a@example.com"] } };
    };
  const alerts: AlertsService = {
    config: async () => ({ recipients: {}, thresholds: { cpu_threshold: 80 }, rules: ["HighCPU"] }),
    setRecipients: record("recipients"),
    setThresholds: record("thresholds"),
    check: async () => test,
    sendTest: async (actor) => {
      calls.push({ name: "test", actor });
      return test;
    },
    active: async () => [],
  };
  app = await createApp({
    models: repositoryOf({
      bundle: { directory: "/none", metadata: { ...tinyMetadata(), modelSha256: "0".repeat(64) } },
    }),
    metrics: createServiceMetrics({ system }),
    system,
    logger: createLogger({ level: "silent" }),
    version: "1.2.3",
    alerts,
    logs: { stats: async () => ({ files: [{ name: "cifar10-api_app.log", bytes: 5 }] }) },
  });
});
afterAll(() => app.close());

const post = (url: string, payload: object | undefined) =>
  app.inject({ method: "POST", url, headers: { "x-request-id": "r1" }, ...(payload === undefined ? {} : { payload }) });

describe("monitoring routes", () => {
  it("/metrics-info lists the table of metrics", async () => {
    const body = metricsInfoSchema.strict().parse((await app.inject("/metrics-info")).json());
    expect(body.metrics.map(({ name }) => name)).toEqual(Object.keys(metricTable));
    expect(body.count).toBe(body.metrics.length);
  });

  it("keeps its number of series whatever clients ask for", async () => {
    const series = async () =>
      (await app.inject("/metrics")).body.split("\n").filter((line) => !line.startsWith("#")).length;
    await app.inject("/nowhere");
    const before = await series();
    for (let i = 0; i < 10_000; i += 100) {
      await Promise.all(
        Array.from({ length: 100 }, (_, j) =>
          app.inject({
            url: `/${i + j}/${Math.random()}`,
            headers: { "x-request-id": `r${i + j}`, "user-agent": `a${j}` },
          }),
        ),
      );
    }
    // The scrape before has left its own status and buckets.
    expect((await series()) - before).toBeLessThan(20);
  });

  it("/logs/stats and /alerts/config give what stands behind them, unknown fields too", async () => {
    expect((await app.inject("/logs/stats")).json()).toEqual({ files: [{ name: "cifar10-api_app.log", bytes: 5 }] });
    expect((await app.inject("/alerts/config")).json()).toMatchObject({ rules: ["HighCPU"] });
  });

  it("take the bodies of the specification, and say who asked", async () => {
    calls.length = 0;
    const list = ["your-email@example.com", "team@example.com"];
    const values = { cpu_threshold: 85, memory_threshold: 75, error_rate_threshold: 30 };
    const bySeverity = { critical: ["oncall@example.com"] };
    for (const [url, body] of [
      ["/alerts/recipients", list],
      ["/alerts/recipients", bySeverity],
      ["/alerts/thresholds", values],
    ] as const) {
      expect((await post(url, body)).statusCode).toBe(200);
    }
    expect((await post("/alerts/test", undefined)).json()).toEqual(test);
    expect((await app.inject("/alerts/test")).json()).toEqual(test);
    const actor = { name: "127.0.0.1", requestId: "r1" };
    expect(calls).toEqual([
      { name: "recipients", value: list, actor },
      { name: "recipients", value: bySeverity, actor },
      { name: "thresholds", value: values, actor },
      { name: "test", actor },
    ]);
  });

  it.each([
    ["/alerts/recipients", []],
    ["/alerts/recipients", ["no address"]],
    ["/alerts/recipients", {}],
    ["/alerts/recipients", { "Bad Name": ["a@example.com"] }],
    ["/alerts/recipients", { critical: [] }],
    ["/alerts/thresholds", {}],
    ["/alerts/thresholds", { cpu_threshold: 101 }],
    ["/alerts/thresholds", { cpu_threshold: "85" }],
    ["/alerts/thresholds", { cpu: 85 }],
    ["/alerts/thresholds", [85]],
  ])("%s refuses %j", async (url, body) => {
    calls.length = 0;
    const response = await post(url, body);
    expect({ status: response.statusCode, code: response.json().code }).toEqual({
      status: 400,
      code: "REQUEST_INVALID",
    });
    expect(calls).toEqual([]);
  });
});
