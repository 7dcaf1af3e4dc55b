import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openOutbox, sendOutboxes } from "../../src/tracking/client/outbox.ts";
import { openTracking, type Tracking } from "../../src/tracking/open.ts";
import { startTrackingServer, type TrackingServer } from "../../src/tracking/server/server.ts";
import { freePort } from "./postgresql.ts";

const folder = mkdtempSync(join(tmpdir(), "cifar-outbox-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
async function place() {
  count += 1;
  const root = join(folder, `place-${count}`);
  const port = await freePort();
  const start = (): Promise<TrackingServer> => startTrackingServer({ port, store: join(root, "server", "t.sqlite") });
  const client = (): Promise<Tracking> =>
    openTracking({ kind: "server", url: `http://127.0.0.1:${port}`, authorization: undefined }, { retries: 0 });
  return { root: join(root, "outboxes"), start, client };
}

const batch = (step: number) => ({
  metrics: [{ key: "loss", value: step === 3 ? Number.NaN : 1 / (step + 1), step, timestamp: step }],
});

describe("openOutbox", () => {
  it("keeps everything while the server is away, and sends it once when it is back", async () => {
    const { root, start, client } = await place();
    await using tracking = await client();
    const problems: unknown[] = [];
    const directory = join(root, "run");
    const outbox = await openOutbox({ directory, ...tracking, retryMs: 50, onAway: (error) => problems.push(error) });
    const before = performance.now();
    await outbox.openRun({ experimentName: "away", init: { runName: "r" } });
    for (let step = 0; step < 20; step++) await outbox.logBatch(batch(step));
    const file = join(folder, "file.txt");
    writeFileSync(file, "first");
    await outbox.writeArtifact("a/file.txt", { file });
    writeFileSync(file, "changed afterwards");
    expect(performance.now() - before).toBeLessThan(20_000);
    expect(await outbox.drain(300)).toBeGreaterThan(0);
    expect(outbox.runId).toBeUndefined();
    expect(problems).toHaveLength(1);

    await using server = await start();
    expect(await outbox.drain(10_000)).toBe(0);
    for (let step = 20; step < 30; step++) await outbox.logBatch(batch(step));
    await server.close();
    for (let step = 30; step < 40; step++) await outbox.logBatch(batch(step));
    await outbox.update({ status: "FINISHED", endTime: 5 });
    await using again = await start();
    expect(await outbox.drain(10_000)).toBe(0);
    const run = await tracking.store.getRun(outbox.runId!);
    expect(run.info).toMatchObject({ status: "FINISHED", endTime: 5, runName: "r" });
    const { items } = await tracking.store.getMetricHistory(outbox.runId!, "loss");
    expect(items.map(({ step }) => step)).toEqual(Array.from({ length: 40 }, (_, step) => step));
    expect(items[3]!.value).toBeNaN();
    expect(Buffer.from(await tracking.artifacts.read(run.info.artifactUri, "a/file.txt")).toString()).toBe("first");
    const experiment = await tracking.store.getExperimentByName("away");
    expect((await tracking.store.searchRuns({ experimentIds: [experiment!.experimentId] })).items).toHaveLength(1);
    await outbox.close();
    expect(existsSync(directory)).toBe(false);
    await again.close();
  });

  it("leaves to the next one what it could not send", async () => {
    const { root, start, client } = await place();
    await using tracking = await client();
    const outbox = await openOutbox({ directory: join(root, "left"), ...tracking, retryMs: 20 });
    await outbox.openRun({ experimentName: "left", init: { runName: "l" } });
    await outbox.logBatch(batch(0));
    await outbox.close();
    expect(await sendOutboxes(root, { ...tracking, retryMs: 20, maxMs: 200 })).toEqual({ sent: 0, left: 1 });
    await using _server = await start();
    expect(await sendOutboxes(root, { ...tracking, maxMs: 5000 })).toEqual({ sent: 1, left: 0 });
    const experiment = await tracking.store.getExperimentByName("left");
    const { items } = await tracking.store.searchRuns({ experimentIds: [experiment!.experimentId] });
    expect(items.map(({ info }) => info.runName)).toEqual(["l"]);
  });

  it("sends a resumed run's steps once, also those of before that the server did not have yet", async () => {
    const { root, start, client } = await place();
    await using tracking = await client();
    const directory = join(root, "resumed");
    const metrics = (...steps: number[]) => ({
      metrics: steps.map((step) => ({ key: "loss", value: step, timestamp: 1000 + step, step })),
    });
    const first = await openOutbox({ directory, ...tracking, retryMs: 20 });
    await first.openRun({ experimentName: "resumed", init: { runName: "r" } });
    await first.logBatch(metrics(1, 2, 3));
    await first.close();
    const second = await openOutbox({ directory, ...tracking, retryMs: 20 });
    await second.openRun({ experimentName: "resumed", init: { runName: "r" } });
    await second.logBatch(metrics(2, 3, 4));
    await using _server = await start();
    expect(await second.drain(10_000)).toBe(0);
    const { runId } = second;
    await second.close();
    const third = await openOutbox({ directory, ...tracking, retryMs: 20 });
    await third.openRun({ experimentName: "resumed", init: {}, resumeRunId: runId! });
    await third.logBatch(metrics(4, 5));
    expect(await third.drain(10_000)).toBe(0);
    await third.close();
    const { items } = await tracking.store.getMetricHistory(runId!, "loss");
    expect(items.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
  });

  it("gives up what the server refuses, and goes on", async () => {
    const { root, start, client } = await place();
    await using _server = await start();
    await using tracking = await client();
    const refused: unknown[] = [];
    const outbox = await openOutbox({
      directory: join(root, "r"),
      ...tracking,
      onRefused: (error) => refused.push(error),
    });
    await outbox.openRun({ experimentName: "refused", init: {} });
    await outbox.logBatch({ tags: [{ key: "../bad", value: "" }] });
    await outbox.logBatch({
      params: [
        { key: "a", value: "1" },
        { key: "b", value: "1" },
      ],
    });
    await outbox.logBatch({
      params: [
        { key: "a", value: "2" },
        { key: "c", value: "1" },
      ],
    });
    expect(await outbox.drain(5000)).toBe(0);
    expect(refused).toHaveLength(1);
    const { data } = await tracking.store.getRun(outbox.runId!);
    expect(data.params.map(({ key, value }) => key + value)).toEqual(["a1", "b1", "c1"]);
    expect(data.tags).toContainEqual({ key: "resumed.a", value: "2" });
    await outbox.close();
  });
});
