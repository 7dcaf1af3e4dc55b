import { describe, expect, it } from "vitest";
import { describeMetrics } from "./metric-description.ts";
import { metricTable } from "./metric-table.ts";
import { createServiceMetrics } from "./metrics.ts";
import { RollingWindow } from "./rolling-window.ts";
import type { SystemMonitor, SystemSample } from "./system.ts";

const sample: SystemSample = {
  cpuPercent: 12.5,
  cpuCount: 2,
  loadAverage1m: 0.5,
  memoryPercent: 40,
  memoryTotalBytes: 100,
  memoryAvailableBytes: 60,
  diskPercent: null,
  diskTotalBytes: null,
  diskFreeBytes: null,
  processMemoryBytes: 1,
  source: "proc",
};
const system: SystemMonitor = { sample: async () => sample };

describe("createServiceMetrics", () => {
  it("exposes exactly the metrics of the table, with their types and help", async () => {
    const { text } = await createServiceMetrics({ system }).render();
    const types = Object.fromEntries(
      [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]),
    );
    expect(types).toEqual(Object.fromEntries(Object.entries(metricTable).map(([name, { type }]) => [name, type])));
    for (const [name, { help }] of Object.entries(metricTable)) expect(text).toContain(`# HELP ${name} ${help}\n`);
  });

  it("counts requests and gives rate and error share of the last 60 seconds", async () => {
    let now = 0;
    const metrics = createServiceMetrics({ system, now: () => now });
    const observe = (status: number) =>
      metrics.observeRequest({ method: "GET", endpoint: "/health", status, seconds: 0.004, requestId: "r" });
    now = 30_000;
    for (const status of [200, 200, 404, 500]) observe(status);
    now = 60_000;
    let { text } = await metrics.render();
    expect(text).toContain('api_requests_total{method="GET",endpoint="/health",status="200"} 2\n');
    expect(text).toContain('api_request_duration_seconds_bucket{le="0.005",method="GET",endpoint="/health"} 4\n');
    expect(text).toMatch(/^api_error_rate 50$/m);
    expect(Number(/^api_requests_per_second (.*)$/m.exec(text)![1])).toBeCloseTo(4 / 60, 10);
    now = 91_000;
    ({ text } = await metrics.render());
    expect(text).toMatch(/^api_error_rate 0$/m);
    expect(text).toMatch(/^api_requests_per_second 0$/m);
  });

  it("has NaN, not zero, where there is no figure", async () => {
    const metrics = createServiceMetrics({ system });
    const { text } = await metrics.render();
    for (const name of ["model_confidence_score", "model_avg_confidence_score", "system_disk_usage_percent"]) {
      expect(text).toMatch(new RegExp(`^${name} Nan$`, "mi"));
    }
    expect(text).toMatch(/^system_cpu_usage_percent 12.5$/m);
  });

  it("averages confidence over recent predictions", async () => {
    const metrics = createServiceMetrics({ system });
    for (const confidence of [0.5, 1])
      metrics.observePrediction({
        label: "cat",
        confidence,
        inferenceSeconds: 0.01,
        queueSeconds: 0.001,
        decodeSeconds: 0.002,
        requestId: "r",
      });
    const { text } = await metrics.render();
    expect(text).toMatch(/^model_predictions_total\{predicted_class="cat"\} 2$/m);
    expect(text).toMatch(/^model_confidence_score 1$/m);
    expect(text).toMatch(/^model_avg_confidence_score 0.75$/m);
  });

  it("does not let clients create series by made-up methods", async () => {
    const metrics = createServiceMetrics({ system });
    for (const method of ["PROPFIND", "BREW"])
      metrics.observeRequest({ method, endpoint: "x", status: 404, seconds: 0, requestId: "r" });
    expect((await metrics.render()).text).toContain('api_requests_total{method="OTHER",endpoint="x",status="404"} 2');
  });

  it("answers OpenMetrics to those who accept it, with the request id as exemplar, and text to the others", async () => {
    const metrics = createServiceMetrics({ system });
    const observe = (requestId: string) =>
      metrics.observeRequest({ method: "GET", endpoint: "/health", status: 200, seconds: 0.004, requestId });
    observe("a".repeat(128));
    observe("request-7");
    const prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const open = await metrics.render(prometheus);
    expect(open.contentType).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
    expect(open.text).toContain("# TYPE api_requests counter\n");
    expect(open.text).toContain('api_requests_total{method="GET",endpoint="/health",status="200"} 2\n');
    expect(open.text).toMatch(/_bucket\{le="0.005",\S+ 2 # \{request_id="request-7"\} 0.004 \d+\.\d+$/m);
    expect(open.text).toMatch(/# EOF\n$/);
    for (const accept of [undefined, "text/plain", "application/openmetrics-text;q=0, text/plain"]) {
      const { contentType, text } = await metrics.render(accept);
      expect(contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
      expect(text).toContain('# TYPE api_requests_total counter\napi_requests_total{method="GET"');
      expect(text).not.toContain("request-7");
    }
  });

  it("tells the unit and the present value of each metric", async () => {
    const metrics = createServiceMetrics({ system });
    for (const seconds of [0.25, 0.5])
      metrics.observeRequest({ method: "GET", endpoint: "/health", status: 200, seconds, requestId: "r" });
    const described = describeMetrics(await metrics.samples());
    expect(described.map(({ name }) => name)).toEqual(Object.keys(metricTable));
    const byName = Object.fromEntries(described.map((metric) => [metric.name, metric]));
    expect(byName.api_requests_total).toMatchObject({
      unit: "requests",
      series: [{ labels: { method: "GET", endpoint: "/health", status: "200" }, value: 2 }],
    });
    expect(byName.api_request_duration_seconds).toMatchObject({
      unit: "seconds",
      series: [{ labels: { method: "GET", endpoint: "/health" }, count: 2, sum: 0.75 }],
    });
    expect(byName.model_confidence_score).toMatchObject({ unit: "ratio", series: [{ labels: {}, value: null }] });
  });

  it("keeps two services apart", async () => {
    const [one, two] = [createServiceMetrics({ system }), createServiceMetrics({ system })];
    one.observePrediction({
      label: "cat",
      confidence: 1,
      inferenceSeconds: 1,
      queueSeconds: 0.001,
      decodeSeconds: 0.002,
      requestId: "r",
    });
    expect((await two.render()).text).not.toContain('predicted_class="cat"');
  });
});

describe("RollingWindow", () => {
  it("forgets each second when it leaves the window", () => {
    let now = 0;
    const window = new RollingWindow(["n"], { seconds: 3, now: () => now });
    for (now = 0; now < 10_000; now += 500) {
      window.add({ n: 1 });
      expect(window.sums().n).toBe(Math.min(Math.floor(now / 500) + 1, 4 + ((now / 500) % 2) + 1));
    }
    now = 20_000;
    expect(window.sums().n).toBe(0);
    expect(window.coveredSeconds).toBe(3);
  });
});
