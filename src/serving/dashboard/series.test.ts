import { describe, expect, it } from "vitest";
import type { MetricSample } from "../../observability/exposition.ts";
import { DashboardHistory } from "./history.ts";
import { pointBetween, seriesNames } from "./series.ts";

const sample = (name: string, value: number, labels: MetricSample["labels"] = {}): MetricSample => ({
  metric: "api_requests_total",
  name,
  labels,
  value,
});

/** A latency histogram of /predict: so many within 10 ms, within 100 ms, in all. */
const latency = (fast: number, medium: number, all: number, endpoint = "/predict") =>
  (
    [
      [0.01, fast],
      [0.1, medium],
      ["+Inf", all],
    ] as const
  ).map(([le, value]) => sample("api_request_duration_seconds_bucket", value, { le, method: "POST", endpoint }));

const at = (time: number, ...samples: MetricSample[]) => ({ time, samples });

describe("pointBetween", () => {
  it("turns increases into rates and shares", () => {
    const requests = (ok: number, bad: number) => [
      sample("api_requests_total", ok, { method: "POST", endpoint: "/predict", status: "200" }),
      sample("api_requests_total", bad, { method: "POST", endpoint: "/predict", status: "415" }),
    ];
    const before = at(0, ...requests(10, 0), sample("model_batch_size_sum", 10), sample("model_batch_size_count", 10));
    const after = at(
      5000,
      ...requests(25, 5),
      sample("model_batch_size_sum", 40),
      sample("model_batch_size_count", 20),
      sample("model_predictions_total", 25, { predicted_class: "cat" }),
      sample("system_cpu_usage_percent", 42),
    );
    const { values, classes, time } = pointBetween(before, after);
    expect(values).toMatchObject({
      requests_per_second: 4,
      error_percent: 25,
      batch_size: 3,
      predictions_per_second: 5,
      cpu_percent: 42,
      gpu_percent: null,
      latency_p50_seconds: null,
    });
    expect({ classes, time }).toEqual({ classes: { cat: 25 }, time: 5000 });
  });

  it("takes quantiles of the interval's predictions, linear within a bucket", () => {
    const { values } = pointBetween(
      at(0, ...latency(100, 100, 100), ...latency(0, 0, 50, "/metrics")),
      at(5000, ...latency(150, 200, 200), ...latency(0, 0, 90, "/metrics")),
    );
    expect(values.latency_p50_seconds).toBeCloseTo(0.01, 10);
    expect(values.latency_p95_seconds).toBeCloseTo(0.01 + 0.09 * 0.9, 10);
  });

  it("has no figure, not zero, where nothing was measured, and survives counters that begin anew", () => {
    const nothing = pointBetween(at(0), at(5000, sample("model_avg_confidence_score", Number.NaN)));
    expect(nothing.values).toMatchObject({ requests_per_second: null, confidence: null, batch_size: null });
    const before = at(0, sample("model_predictions_total", 100, { predicted_class: "cat" }));
    const after = at(5000, sample("model_predictions_total", 3, { predicted_class: "cat" }));
    expect(pointBetween(before, after).values.predictions_per_second).toBe(0);
  });
});

describe("DashboardHistory", () => {
  it("keeps the newest points and tells its listeners", async () => {
    let time = 0;
    using history = new DashboardHistory({
      samples: async () => [],
      capacity: 3,
      now: () => time,
      onError: (error) => {
        throw error;
      },
    });
    const seen: number[] = [];
    const subscription = history.subscribe((point) => seen.push(point.time));
    for (; time <= 5000; time += 1000) await history.sample();
    expect(history.rows().map(([time]) => time)).toEqual([3000, 4000, 5000]);
    expect(history.latest?.time).toBe(5000);
    expect(seen).toEqual([1000, 2000, 3000, 4000, 5000]);
    subscription[Symbol.dispose]();
    await history.sample();
    expect(seen).toHaveLength(5);
  });

  it("keeps six hours in the bytes that it took at the start, whatever the points hold", async () => {
    let time = 0;
    let round = 0;
    const samples = async () => [
      sample("system_cpu_usage_percent", round),
      sample("system_memory_usage_percent", Number.NaN),
      ...Array.from({ length: 100 }, (_, i) => sample("model_predictions_total", i, { predicted_class: `c${i}` })),
    ];
    using history = new DashboardHistory({
      samples,
      now: () => time,
      onError: (error) => {
        throw error;
      },
    });
    expect(history.bytes).toBe(4320 * 27 * 8);
    for (; round <= 4330; round++, time += 5000) await history.sample();
    expect(history.bytes).toBe(4320 * 27 * 8);
    const rows = history.rows();
    expect(rows).toHaveLength(4320);
    const cpu = 1 + seriesNames.indexOf("cpu_percent");
    expect(rows.map((row) => row[cpu])).toEqual(Array.from({ length: 4320 }, (_, i) => 11 + i));
    expect(rows.at(-1)![1 + seriesNames.indexOf("memory_percent")]).toBeNull();
    expect(rows.at(-1)![0]! - rows[0]![0]!).toBe(4319 * 5000);
    expect(Object.keys(history.latest!.classes)).toHaveLength(100);
  });
});
