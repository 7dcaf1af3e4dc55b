import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fetchWeights } from "./fetch-weights.ts";
import { imagenetStatistics, type PublishedWeights } from "./published.ts";

const content = Buffer.alloc(5000, "weights");
const sha256 = createHash("sha256").update(content).digest("hex").slice(0, 8);
const file = `tiny-${sha256}.pth`;

let directory: string;
let server: Server;
let answer: Buffer;
let requests: number;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "fetch-"));
  answer = content;
  requests = 0;
  server = createServer((_, response) => {
    requests++;
    response.writeHead(200, { "content-length": answer.length }).end(answer);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true, force: true });
});

function published(): PublishedWeights {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/models/${file}`;
  return { url, file, sha256, mebibytes: 0.005, ...imagenetStatistics };
}

describe("fetchWeights", () => {
  it("downloads once, checks the hash and keeps the file", async () => {
    const path = await fetchWeights({ published: published(), directory: join(directory, "new") });
    expect(await readFile(path)).toEqual(content);
    expect(await fetchWeights({ published: published(), directory: join(directory, "new"), offline: true })).toBe(path);
    expect(requests).toBe(1);
  });

  it("refuses a file of another hash or of many more bytes and keeps nothing", async () => {
    for (const wrong of [Buffer.alloc(5000, "other"), Buffer.alloc(50_000, "long")]) {
      answer = wrong;
      const fetching = fetchWeights({ published: published(), directory, retries: 0 });
      await expect(fetching).rejects.toMatchObject({ code: "WEIGHTS_UNAVAILABLE" });
      expect(existsSync(join(directory, file))).toBe(false);
    }
  });

  it("does not use a file in its place that has another hash", async () => {
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, file), "not the weights");
    const fetching = fetchWeights({ published: published(), directory });
    await expect(fetching).rejects.toMatchObject({ code: "WEIGHTS_DAMAGED" });
    expect(requests).toBe(0);
  });

  it("says what to fetch and where to put it when there is no network", async () => {
    const { url } = published();
    for (const offline of [true, false]) {
      server.close();
      server.closeAllConnections();
      const weights = { ...imagenetStatistics, url, file, sha256, mebibytes: 0.005 };
      const error = await fetchWeights({ published: weights, directory, offline, retries: 0 }).catch(String);
      expect(error).toContain(url);
      expect(error).toContain(join(directory, file));
    }
    expect(requests).toBe(0);
  });
});
