import { expect, it } from "vitest";
import type { SqlStore } from "../../src/tracking/sql/store.ts";

/** What only a store of ours can tell. */
export function describeSqlStore(open: () => Promise<SqlStore>): void {
  it("keeps the extremes of a long history in few points", async () => {
    await using store = await open();
    const { runId } = (await store.createRun("0")).info;
    const valueAt = (step: number) =>
      step === 777 ? 50 : step === 1301 ? -50 : step === 5 ? Number.NaN : Math.sin(step);
    const points = Array.from({ length: 2000 }, (_, step) => ({
      key: "m",
      value: valueAt(step),
      step,
      timestamp: step,
    }));
    for (const from of [0, 1000]) await store.logBatch(runId, { metrics: points.slice(from, from + 1000) });
    const curve = await store.getMetricCurves({ runIds: [runId, "0".repeat(32)], key: "m", maxPoints: 40 });
    const steps = curve.map(({ step }) => step);
    expect(steps.length).toBeLessThanOrEqual(40);
    expect(steps.length).toBeGreaterThan(30);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    expect(steps[0]).toBe(0);
    expect(steps.at(-1)).toBe(1999);
    expect(steps).toEqual(expect.arrayContaining([777, 1301]));
    expect(curve.every(({ value, runId: of }) => Number.isFinite(value) && of === runId)).toBe(true);
    const few = await store.getMetricCurves({ runIds: [runId], key: "m", maxPoints: 40, steps: { from: 3, to: 9 } });
    expect(few.map(({ step }) => step)).toEqual([3, 4, 5, 6, 7, 8, 9]);
    expect(few[2]!.value).toBeNaN();
    expect(await store.getMetricCurves({ runIds: [runId], key: "other", maxPoints: 40 })).toEqual([]);
  });

  it("tells what happened to the versions of a model", async () => {
    await using store = await open();
    await store.createRegisteredModel("net");
    for (const source of ["s3://a", "s3://b"]) await store.createModelVersion("net", { source });
    await store.transitionStage("net", "1", { stage: "Production", archiveExisting: "no" });
    await store.transitionStage("net", "2", { stage: "Production", archiveExisting: "yes" });
    await store.setAlias("net", { alias: "champion", version: "1" });
    await store.setAlias("net", { alias: "champion", version: "2" });
    await store.deleteAlias("net", "champion");
    await store.deleteAlias("net", "champion");
    await store.deleteModelVersion("net", "1");
    await store.renameRegisteredModel("net", "renamed");
    const events = await store.getModelHistory("renamed");
    expect(events.map(({ version, kind, value }) => `${version} ${kind} ${value}`.trim())).toEqual([
      "1 deleted",
      "2 alias removed champion",
      "2 alias set champion",
      "1 alias set champion",
      "2 stage Production",
      "1 stage Archived",
      "1 stage Production",
      "2 created",
      "1 created",
    ]);
    // Two at once both leave their mark.
    await Promise.all(["a", "b", "c"].map((alias) => store.setAlias("renamed", { alias, version: "2" })));
    expect(await store.getModelHistory("renamed")).toHaveLength(12);
    await store.deleteRegisteredModel("renamed");
    await expect(store.getModelHistory("renamed")).rejects.toMatchObject({ code: "TRACKING_NOT_FOUND" });
  });
}
