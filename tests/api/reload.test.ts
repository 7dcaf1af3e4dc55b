import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { writeBundle } from "../../src/inference/bundle.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { predictionSchema } from "../../src/serving/schemas.ts";
import { type ServerOptions, startServer } from "../../src/serving/server.ts";
import { tinyMetadata, tinyModel, writeTinyBundle } from "./tiny-bundle.ts";

let root: string;
let image: Blob;

beforeAll(async () => {
  const bytes = await sharp({ create: { width: 32, height: 32, channels: 3, background: "#3366aa" } })
    .png()
    .toBuffer();
  image = new Blob([new Uint8Array(bytes)]);
});

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "reload-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const names = {
  old: "tiny_trainer_20260101-000000",
  next: "tiny_trainer_20260201-000000",
  other: "small_tuned_20260103-000000",
};

async function start(options: Partial<ServerOptions> = {}) {
  const folder = await mkdtemp(join(root, "models-"));
  const bundle = await writeTinyBundle(folder);
  const server = await startServer({
    bundle: bundle.directory,
    port: 0,
    logger: createLogger({ level: "silent" }),
    ...options,
  });
  onTestFinished(() => server.close());
  const post = async (path: string, body?: object) => {
    const response = await fetch(server.url + path, {
      method: "POST",
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const predict = async (query = "") => {
    const form = new FormData();
    form.append("file", image, "image.png");
    const response = await fetch(`${server.url}/predict${query}`, { method: "POST", body: form });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  return { server, folder, post, predict };
}

describe("hot reload", () => {
  it("replaces the model under load without a failed request", async () => {
    const { folder, post, predict } = await start();
    await writeTinyBundle(folder, { name: names.next });
    let running = true;
    const served: string[] = [];
    const clients = Array.from({ length: 8 }, async () => {
      while (running) {
        const { status, body } = await predict();
        expect(status, JSON.stringify(body)).toBe(200);
        served.push(predictionSchema.parse(body).model);
      }
    });
    const load = (name: string) => post(`/v2/repository/models/${name}/load`);
    for (let round = 0; round < 3; round++) {
      for (const name of [names.next, names.old]) {
        expect((await load(name)).status).toBe(200);
        const { body } = await predict();
        expect(body.model).toBe(name);
      }
    }
    // By the name that stays: the newest version.
    expect((await load("tiny_trainer")).body).toEqual({
      name: "tiny_trainer",
      version: "20260201-000000",
      state: "READY",
    });
    running = false;
    await Promise.all(clients);
    expect(new Set(served)).toEqual(new Set([names.old, names.next]));
    expect(served.length).toBeGreaterThan(50);
  });

  it("measures how long models take to load: those of the start and of reloads, not those that were refused", async () => {
    const { server, folder, post } = await start();
    const loads = async () => {
      const text = await (await fetch(`${server.url}/metrics`)).text();
      const value = (suffix: string) =>
        Number(new RegExp(`^model_load_duration_seconds_${suffix} (\\S+)$`, "m").exec(text)?.[1]);
      return { count: value("count"), sum: value("sum") };
    };
    const first = await loads();
    expect(first).toEqual({ count: 1, sum: expect.toSatisfy((sum: number) => sum > 0) });
    await writeTinyBundle(folder, { name: names.next });
    expect((await post(`/v2/repository/models/${names.next}/load`)).status).toBe(200);
    const second = await loads();
    expect(second).toEqual({ count: 2, sum: expect.toSatisfy((sum: number) => sum > first.sum) });
    const damaged = await writeTinyBundle(folder, { name: names.other, classes: ["only", "two"] });
    expect((await post(`/v2/repository/models/${damaged.metadata.name}/load`)).status).toBe(422);
    expect(await loads()).toEqual(second);
  });

  it.each([
    [
      "is altered",
      async (folder: string) => {
        const { modelPath } = await writeTinyBundle(folder, { name: names.next });
        const bytes = await readFile(modelPath);
        bytes[bytes.length - 20]! ^= 0xff;
        await writeFile(modelPath, bytes);
      },
    ],
    [
      "is no model",
      async (folder: string) => {
        const metadata = tinyMetadata({ name: names.next });
        await writeBundle({ directory: join(folder, names.next), modelBytes: Buffer.from("no model"), metadata });
      },
    ],
    [
      "does not fit its classes",
      async (folder: string) => {
        await writeTinyBundle(folder, { name: names.next, classes: ["only", "two"] });
      },
    ],
    [
      "gives numbers that are not finite",
      async (folder: string) => {
        const modelBytes = poisoned(await readFile(tinyModel));
        await writeBundle({
          directory: join(folder, names.next),
          modelBytes,
          metadata: tinyMetadata({ name: names.next }),
        });
      },
    ],
    [
      "has damaged metadata",
      async (folder: string) => {
        const { directory } = await writeTinyBundle(folder, { name: names.next });
        await writeFile(join(directory, "metadata.json"), "{");
      },
    ],
  ])("keeps the old model when the new one %s", async (_name, prepare) => {
    const { server, folder, post, predict } = await start();
    await prepare(folder);
    const { status, body } = await post(`/v2/repository/models/${names.next}/load`);
    expect({ status, code: body.code }).toEqual({ status: 422, code: "MODEL_REFUSED" });
    expect(JSON.stringify(body)).not.toContain(folder);
    expect(await predict()).toMatchObject({ status: 200, body: { model: names.old } });
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/^model_reloads_total\{outcome="refused"\} 1$/m);
  });

  it("serves several models side by side, and unloads all but the default", async () => {
    const { folder, post, predict } = await start({ maxLoadedModels: 2 });
    await writeTinyBundle(folder, { name: names.other });
    await writeTinyBundle(folder, { name: names.next });
    const beside = { parameters: { activate: false } };
    expect((await predict("?model=small_tuned")).status).toBe(404);
    expect((await post("/v2/repository/models/small_tuned/load", beside)).status).toBe(200);
    expect((await predict()).body.model).toBe(names.old);
    expect((await predict("?model=small_tuned")).body.model).toBe(names.other);
    const full = await post(`/v2/repository/models/${names.next}/load`, beside);
    expect(full).toMatchObject({ status: 409, body: { code: "MODEL_IN_USE" } });
    const index = await post("/v2/repository/index", { ready: true });
    expect(index.body).toEqual(
      expect.arrayContaining([
        { name: "tiny_trainer", version: "20260101-000000", state: "READY", reason: "" },
        { name: "small_tuned", version: "20260103-000000", state: "READY", reason: "" },
      ]),
    );
    expect((await post("/v2/repository/index", {})).body).toHaveLength(3);
    expect((await post("/v2/repository/models/tiny_trainer/unload")).body.code).toBe("MODEL_IN_USE");
    expect((await post("/v2/repository/models/small_tuned/unload")).status).toBe(200);
    expect((await predict("?model=small_tuned")).status).toBe(404);
  });
});

/** The model with every weight of its largest float tensor set to infinity. */
function poisoned(model: Buffer): Buffer {
  const bytes = Buffer.from(model);
  // raw_data of the longest initialiser: field 9, wire type 2, two bytes of length.
  let best = { at: 0, length: 0 };
  for (let i = 0; i + 3 < bytes.length; i++) {
    if (bytes[i] !== 0x4a) continue;
    const [low, high] = [bytes[i + 1]!, bytes[i + 2]!];
    const twoBytes = (low & 0x80) !== 0 && high < 0x80;
    const length = twoBytes ? (low & 0x7f) | (high << 7) : low;
    const at = i + (twoBytes ? 3 : 2);
    if (length % 4 === 0 && length > best.length && at + length <= bytes.length) best = { at, length };
  }
  for (let i = 0; i < best.length; i += 4) bytes.writeFloatLE(Number.POSITIVE_INFINITY, best.at + i);
  return bytes;
}
