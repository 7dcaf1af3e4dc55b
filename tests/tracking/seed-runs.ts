import type { TrackingStore } from "../../src/tracking/store.ts";
import type { Metric } from "../../src/tracking/types.ts";

/** Fills a store with runs that look like trainings: for tests of the page. */
export async function seedRuns(
  store: TrackingStore,
  {
    experiment,
    runs,
    points,
    now = Date.now(),
  }: { readonly experiment: string; readonly runs: number; readonly points: number; readonly now?: number },
): Promise<{ readonly experimentId: string; readonly ids: readonly string[] }> {
  const { experimentId } = await store.createExperiment(experiment);
  const models = ["resnet9", "airbench", "mobilenet_v2", "regnet_y_400mf"];
  const ids: string[] = [];
  for (let i = 0; i < runs; i++) {
    const model = models[i % models.length]!;
    const lr = [0.05, 0.1, 0.2, 0.4][Math.floor(i / models.length) % 4]!;
    const { info } = await store.createRun(experimentId, {
      runName: `${model}_${String(i).padStart(5, "0")}`,
      userId: "ada",
      startTime: now - (runs - i) * 60_000,
    });
    ids.push(info.runId);
    const quality = 0.8 + 0.15 * Math.abs(Math.sin(i * 1.7));
    const metrics: Metric[] = [];
    for (let step = 1; step <= points; step++) {
      const t = step / points;
      const noise = Math.sin(step * 12.9898 + i * 78.233) * 0.02;
      const timestamp = info.startTime + step * 1000;
      const put = (key: string, value: number) => metrics.push({ key, value, step, timestamp });
      put("train_loss", 2.3 * Math.exp(-3 * t) + 0.1 + noise);
      put("val_loss", 2.3 * Math.exp(-2.6 * t) + 0.2 + 2 * noise);
      put("val_accuracy", quality * (1 - Math.exp(-5 * t)) + noise / 2);
      put("learning_rate", lr * (1 - t));
      if (step % 5 === 0 || points < 10) put("system/cpu_utilization_percentage", 80 + 10 * Math.sin(step / 9));
    }
    const params = {
      "model.name": model,
      "training.learning_rate": String(lr),
      "training.batch_size": "512",
      "training.seed": String(i),
    };
    const entries = Object.entries(params).map(([key, value]) => ({ key, value }));
    for (let start = 0; start < metrics.length; start += 990) {
      const part = metrics.slice(start, start + 990);
      await store.logBatch(info.runId, start === 0 ? { metrics: part, params: entries } : { metrics: part });
    }
    await store.updateRun(info.runId, {
      status: i % 17 === 5 ? "FAILED" : "FINISHED",
      endTime: info.startTime + points * 1000,
    });
  }
  return { experimentId, ids };
}
