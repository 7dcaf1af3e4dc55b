import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createLogger } from "../../src/observability/logger.ts";
import { type ServerOptions, startServer } from "../../src/serving/server.ts";
import { writeTinyBundle } from "./tiny-bundle.ts";

let root: string;
let directory: string;
let image: Blob;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "process-"));
  ({ directory } = await writeTinyBundle(root));
  const bytes = await sharp({ create: { width: 32, height: 32, channels: 3, background: "#3366aa" } })
    .png()
    .toBuffer();
  image = new Blob([new Uint8Array(bytes)]);
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function start(options: Partial<ServerOptions> = {}) {
  const server = await startServer({
    bundle: directory,
    port: 0,
    logger: createLogger({ level: "silent" }),
    ...options,
  });
  onTestFinished(() => server.close());
  return server;
}

function predict(url: string, init: RequestInit = {}): Promise<Response> {
  const form = new FormData();
  form.append("file", image, "image.png");
  return fetch(`${url}/predict`, { method: "POST", body: form, ...init });
}

const formStart = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n';
const formEnd = "\r\n--b--\r\n";

const uploadHead = (length: number) =>
  "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n" +
  `Content-Length: ${length}\r\n\r\n${formStart}`;

function jsonRequest(file: Buffer): Buffer {
  const json = JSON.stringify({ image: file.toString("base64") });
  const head = `Host: localhost\r\nContent-Type: application/json\r\nContent-Length: ${json.length}`;
  return Buffer.from(`POST /predict HTTP/1.1\r\n${head}\r\n\r\n${json}`);
}

/** Opens a socket, writes something and says what came back by the time that it closed. */
function talk(url: string, write: (socket: ReturnType<typeof connect>) => void) {
  const socket = connect(Number(new URL(url).port), "127.0.0.1", () => write(socket));
  let received = "";
  socket.setEncoding("utf8").on("data", (chunk) => {
    received += chunk;
  });
  const closed = new Promise<string>((resolve) => {
    socket.on("close", () => resolve(received)).on("error", () => resolve(received));
  });
  return { socket, closed };
}

describe("draining", () => {
  it("fails no request under load: what was accepted is answered, then connections are refused", async () => {
    const server = await start();
    let closing = false;
    const outcomes: string[] = [];
    const clients = Array.from({ length: 8 }, async () => {
      for (;;) {
        const outcome = await predict(server.url).then(
          async (response) => {
            await response.text();
            return String(response.status);
          },
          () => "refused",
        );
        outcomes.push(outcome);
        if (outcome === "refused" || outcome === "503") return;
      }
    });
    while (outcomes.length < 40) await sleep(5);
    expect(new Set(outcomes)).toEqual(new Set(["200"]));
    closing = true;
    await server.close();
    await Promise.all(clients);
    expect(closing).toBe(true);
    expect(outcomes.every((outcome) => ["200", "503", "refused"].includes(outcome))).toBe(true);
  });

  it("says so at /health/ready before the listener closes", async () => {
    const server = await start({ drainDelayMs: 400 });
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
    const closed = server.close();
    const ready = await fetch(`${server.url}/health/ready`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ code: "SHUTTING_DOWN" });
    expect((await fetch(`${server.url}/v2/health/ready`)).status).toBe(503);
    expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
    expect((await predict(server.url)).status).toBe(200);
    await closed;
  });

  it("ends although a dashboard is open and an upload does not go on", async () => {
    const server = await start({ uploadIdleTimeoutMs: 1500 });
    const stream = await fetch(`${server.url}/dashboard/events`);
    const reader = stream.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toMatch(/^event: history\ndata: \{/);
    const stalled = talk(server.url, (socket) => socket.write(uploadHead(5000)));
    await sleep(100);
    const started = performance.now();
    await server.close();
    expect(performance.now() - started).toBeLessThan(25_000);
    await stalled.closed;
    while (!(await reader.read()).done);
  });
});

describe("slow and broken clients", () => {
  it("are cut off with 408 below the lowest rate, and others are served meanwhile", async () => {
    const server = await start({ uploadIdleTimeoutMs: 1000, uploadMinBytesPerSecond: 1000 });
    const slow = Array.from({ length: 20 }, () => {
      const client = talk(server.url, (socket) => socket.write(uploadHead(100_000)));
      const timer = setInterval(() => client.socket.writable && client.socket.write("x"), 100);
      return client.closed.finally(() => clearInterval(timer));
    });
    for (let i = 0; i < 10; i++) expect((await predict(server.url)).status).toBe(200);
    for (const text of await Promise.all(slow)) {
      expect(text).toMatch(/^HTTP\/1\.1 408 /);
      expect(JSON.parse(text.split("\r\n\r\n")[1]!)).toMatchObject({
        code: "REQUEST_TIMEOUT",
        message: expect.stringMatching(/came at \d+ bytes a second, below 1000/),
      });
    }
  });

  it("may take longer than any time limit while their bytes arrive", async () => {
    const options = { uploadIdleTimeoutMs: 2000, uploadMinBytesPerSecond: 10, predictTimeoutMs: 1500 };
    const server = await start(options);
    const file = Buffer.from(await image.arrayBuffer());
    const bodies = [
      Buffer.concat([
        Buffer.from(uploadHead(file.length + formStart.length + formEnd.length)),
        file,
        Buffer.from(formEnd),
      ]),
      jsonRequest(file),
    ];
    const answers = await Promise.all(
      bodies.map(async (body) => {
        const { socket, closed } = talk(server.url, () => undefined);
        socket.once("data", () => socket.end());
        const size = Math.ceil(body.length / 20);
        for (let at = 0; at < body.length; at += size) {
          socket.write(body.subarray(at, at + size));
          await sleep(125);
        }
        return closed;
      }),
    );
    for (const text of answers) expect(text).toMatch(/^HTTP\/1\.1 200 /);
  });

  it("that fall silent are told so, whatever kind of body they send, and it is no fault in the log", async () => {
    const lines: { level: string; code?: string }[] = [];
    const logger = createLogger({ stream: { write: (line) => void lines.push(JSON.parse(line)) } });
    const server = await start({ uploadIdleTimeoutMs: 400, logger });
    const whole = jsonRequest(Buffer.alloc(3000));
    const unrouted = Buffer.from("POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n");
    const answers = await Promise.all(
      [Buffer.from(uploadHead(5000)), whole.subarray(0, whole.length - 10), unrouted].map(
        (start) => talk(server.url, (socket) => socket.write(start)).closed,
      ),
    );
    for (const text of answers.slice(0, 2)) {
      expect(text).toMatch(/^HTTP\/1\.1 408 /);
      expect(JSON.parse(text.split("\r\n\r\n")[1]!)).toMatchObject({
        code: "REQUEST_TIMEOUT",
        message: expect.stringContaining("nothing of the request's body arrived for 400 ms"),
      });
    }
    expect(answers[2]).toMatch(/^HTTP\/1\.1 404 /);
    expect(lines.filter(({ code }) => code === "REQUEST_TIMEOUT")).toHaveLength(2);
    expect(lines.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);
  });

  it("that send headers without end are cut off too", async () => {
    const server = await start({ headersTimeoutMs: 1000 });
    const { closed } = talk(server.url, (socket) => socket.write("GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: "));
    expect(await closed).toMatch(/^HTTP\/1\.1 408 /);
  });

  it("that leave free the place that they held", async () => {
    const server = await start({ maxRequestsInFlight: 2, uploadIdleTimeoutMs: 20_000 });
    const held = [1, 2].map(() => talk(server.url, (socket) => socket.write(uploadHead(5000))));
    const inFlight = async () =>
      ((await (await fetch(`${server.url}/health`)).json()) as { requests_in_flight: number }).requests_in_flight;
    await expect.poll(inFlight).toBe(2);
    const refused = await predict(server.url);
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("1");
    for (const { socket } of held) socket.destroy();
    await expect.poll(inFlight).toBe(0);
    expect((await predict(server.url)).status).toBe(200);
  });

  it("cancelling their requests take no place in a batch", async () => {
    const server = await start({ window: "fixed", maxDelayMs: 300 });
    const abort = new AbortController();
    const gone = predict(server.url, { signal: abort.signal });
    const stayed = predict(server.url);
    await sleep(100);
    abort.abort();
    await expect(gone).rejects.toThrow();
    expect((await stayed).status).toBe(200);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/^model_batch_size_sum 1$/m);
  });

  it("a deadline that can't be kept is told in time", async () => {
    const server = await start({ window: "fixed", maxDelayMs: 20_000 });
    const started = performance.now();
    const response = await predict(server.url, { headers: { "x-timeout-ms": "100" } });
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(performance.now() - started).toBeLessThan(15_000);
  });
});

describe("overload", () => {
  it("is refused with Retry-After instead of piling up, and passes", async () => {
    const server = await start({ queueLimit: 8, maxRequestsInFlight: 16, window: "fixed", maxDelayMs: 200 });
    const answers = await Promise.all(
      Array.from({ length: 300 }, async () => {
        const started = performance.now();
        const response = await predict(server.url);
        await response.text();
        return { status: response.status, ms: performance.now() - started, retry: response.headers.get("retry-after") };
      }),
    );
    const refused = answers.filter(({ status }) => status === 503);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 503]));
    for (const { retry } of refused) expect(Number(retry)).toBeGreaterThanOrEqual(1);
    expect((await predict(server.url)).status).toBe(200);
  });
});

describe("the page's files", () => {
  it("hold no script that the policy would refuse", async () => {
    for (const name of ["index.html", "dashboard.html"]) {
      const html = await readFile(new URL(`../../src/serving/page/${name}`, import.meta.url), "utf8");
      expect(html).not.toMatch(/<style|style=|\son\w+=|<script(?![^>]*src=)|https?:\/\//);
    }
  });
});
