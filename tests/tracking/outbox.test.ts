import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openOutbox, sendOutboxes } from "../../src/tracking/client/outbox.ts";
import { openTracking, type Tracking } from "../../src/tracking/open.ts";
import { startTrackingServer, type TrackingServer } from "../../src/tracking/server/server.ts";
import { fill, mountSmallDisk } from "../small-disk.ts";
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
    expect(await sendOutboxes(root, { ...tracking, retryMs: 20, maxMs: 200 })).toEqual({ sent: 0, left: 1, used: 0 });
    await using _server = await start();
    expect(await sendOutboxes(root, { ...tracking, maxMs: 5000 })).toEqual({ sent: 1, left: 0, used: 0 });
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

  it("keeps a run that is refused, tells it once, and sends it when it is taken", async () => {
    const { root, start, client } = await place();
    await using _server = await start();
    await using tracking = await client();
    const id = await tracking.store.createExperiment("deleted");
    await tracking.store.deleteExperiment(id.experimentId);
    const refused: unknown[] = [];
    const directory = join(root, "r");
    const onRefused = (error: unknown) => refused.push(error);
    const outbox = await openOutbox({ directory, ...tracking, onRefused });
    await outbox.openRun({ experimentName: "deleted", init: {} });
    await outbox.logBatch(batch(0));
    expect(await outbox.drain(60_000)).toBeGreaterThan(0);
    await outbox.close();
    expect(refused).toHaveLength(1);
    expect(String(refused[0])).toContain(`${directory}: send them with \`cifar track sync\``);
    await tracking.store.restoreExperiment(id.experimentId);
    expect(await sendOutboxes(root, { ...tracking, maxMs: 10_000 })).toEqual({ sent: 1, left: 0, used: 0 });
    const { items } = await tracking.store.searchRuns({ experimentIds: [id.experimentId] });
    expect(items[0]!.data.metrics).toMatchObject([{ key: "loss", value: 1 }]);
  });

  it("forgets the part of a line that a loss of power left", async () => {
    const { root, start, client } = await place();
    await using tracking = await client();
    const directory = join(root, "torn");
    const write = async (step: number) => {
      const outbox = await openOutbox({ directory, ...tracking, retryMs: 20 });
      await outbox.openRun({ experimentName: "torn", init: {} });
      await outbox.logBatch(batch(step));
      return outbox;
    };
    await (await write(0)).close();
    appendFileSync(join(directory, "operations.jsonl"), '{"kind":"batch","batch":{"metr');
    const resumed = await write(1);
    await using _server = await start();
    expect(await resumed.drain(10_000)).toBe(0);
    const { items } = await tracking.store.getMetricHistory(resumed.runId!, "loss");
    expect(items.map(({ step }) => step)).toEqual([0, 1]);
    await resumed.close();
  });

  it("takes a kept file that is gone as sent", async () => {
    const { root, start, client } = await place();
    await using tracking = await client();
    const directory = join(root, "gone");
    const outbox = await openOutbox({ directory, ...tracking, retryMs: 20 });
    await outbox.openRun({ experimentName: "gone", init: {} });
    await outbox.writeArtifact("a.txt", { data: "a" });
    await outbox.logBatch(batch(0));
    for (const name of readdirSync(join(directory, "files"))) rmSync(join(directory, "files", name));
    await using _server = await start();
    expect(await outbox.drain(10_000)).toBe(0);
    await outbox.close();
  });

  const disk = mountSmallDisk();
  afterAll(() => disk.unmount());
  it.runIf(disk.isMounted)("goes on after a full disk", async () => {
    const { start, client } = await place();
    await using _server = await start();
    await using tracking = await client();
    const outbox = await openOutbox({ directory: join(disk.path, "full"), ...tracking, retryMs: 20 });
    await outbox.openRun({ experimentName: "full", init: {} });
    expect(await outbox.drain(10_000)).toBe(0);
    fill(join(disk.path, "filler"));
    const long = { tags: [{ key: "long", value: "x".repeat(8000) }] };
    await expect(outbox.logBatch(long)).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    rmSync(join(disk.path, "filler"));
    await outbox.logBatch(batch(1));
    expect(await outbox.drain(10_000)).toBe(0);
    const { data } = await tracking.store.getRun(outbox.runId!);
    expect(data.metrics).toMatchObject([{ key: "loss", step: 1 }]);
    await outbox.close();
  });
});

describe("sendOutboxes", () => {
  it("leaves what a training uses, and goes on to what nobody does", async () => {
    const { root, start, client } = await place();
    await using tracking = await client();
    const used = await openOutbox({ directory: join(root, "a"), ...tracking, retryMs: 20 });
    await used.openRun({ experimentName: "used", init: {} });
    const waiting = await openOutbox({ directory: join(root, "b"), ...tracking, retryMs: 20 });
    await waiting.openRun({ experimentName: "used", init: {} });
    await waiting.close();
    await using _server = await start();
    await used.drain(10_000);
    expect(await sendOutboxes(root, { ...tracking, maxMs: 10_000 })).toEqual({ sent: 1, left: 0, used: 1 });
    expect(readdirSync(root).sort()).toEqual(["a", "a.lock"]);
    await used.logBatch(batch(0));
    expect(await used.drain(10_000)).toBe(0);
    await used.close();
    expect(readdirSync(root)).toEqual([]);
  });

  it("goes on after a run that does not arrive", async () => {
    const { root, start, client } = await place();
    await using tracking = await client();
    for (const name of ["a", "b"]) {
      const outbox = await openOutbox({ directory: join(root, name), ...tracking, retryMs: 20 });
      await outbox.openRun({ experimentName: `experiment of ${name}`, init: {} });
      await outbox.close();
    }
    await using _server = await start();
    const { experimentId } = await tracking.store.createExperiment("experiment of a");
    await tracking.store.deleteExperiment(experimentId);
    expect(await sendOutboxes(root, { ...tracking, maxMs: 10_000 })).toEqual({ sent: 1, left: 1, used: 0 });
  });
});

describe("a proxy before the server", () => {
  async function proxy(status: number) {
    let requests = 0;
    const server = createServer((request, response) => {
      requests += 1;
      request.resume().on("end", () => response.writeHead(status).end("<html>"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const tracking = await openTracking(
      { kind: "server", url, authorization: undefined },
      { retries: 2, backoffMs: 1 },
    );
    return { tracking, requests: () => requests, [Symbol.asyncDispose]: async () => void server.close() };
  }
  const uri = "mlflow-artifacts:/1/run/artifacts";

  it("that knows no such path says nothing of the run", async () => {
    await using answers = await proxy(404);
    await expect(answers.tracking.store.getRun("r")).rejects.toMatchObject({ code: "TRACKING_UNAVAILABLE" });
  });

  it("that takes no body so large refuses it", async () => {
    await using answers = await proxy(413);
    await expect(answers.tracking.artifacts.write(uri, "a", "data")).rejects.toMatchObject({
      code: "TRACKING_INVALID",
      remedy: expect.stringContaining("body limit"),
    });
  });

  it("gets a stream once, and what it said is told", async () => {
    await using answers = await proxy(503);
    const stream = (async function* () {
      yield Buffer.from("data");
    })();
    await expect(answers.tracking.artifacts.writeStream(uri, "a", { stream, maxBytes: 4 })).rejects.toMatchObject({
      code: "TRACKING_UNAVAILABLE",
      details: { status: 503 },
    });
    expect(answers.requests()).toBe(1);
  });

  it("may take longer than a silence where bytes flow", async () => {
    const server = createServer((request, response) => {
      if (request.method === "PUT") {
        request.resume().on("end", () => setTimeout(() => response.end("{}"), 1500));
        return;
      }
      let pieces = 0;
      const timer = setInterval(() => {
        response.write("piece ");
        pieces += 1;
        if (pieces === 6) {
          clearInterval(timer);
          response.end();
        }
      }, 300);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using tracking = await openTracking(
      { kind: "server", url, authorization: undefined },
      { retries: 0, timeoutMs: 1000 },
    );
    await tracking.artifacts.write(uri, "a", new Uint8Array(1_000_000));
    expect(Buffer.from(await tracking.artifacts.read(uri, "a")).toString()).toBe("piece ".repeat(6));
    server.close();
  });
});
