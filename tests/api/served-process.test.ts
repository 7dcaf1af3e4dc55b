import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { logFileNames } from "../../src/observability/logs/service-log.ts";
import { hugeUniformPng } from "./hostile-files.ts";
import { type Served, serveBundle } from "./served.ts";
import { writeTinyBundle } from "./tiny-bundle.ts";

let root: string;
let bundle: string;
let image: Buffer;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "served-"));
  ({ directory: bundle } = await writeTinyBundle(join(root, "models")));
  image = await sharp({ create: { width: 32, height: 32, channels: 3, background: "#3366aa" } })
    .png()
    .toBuffer();
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function serve(settings: readonly string[] = [], folder?: string): Promise<Served> {
  const served = await serveBundle(bundle, { cwd: folder ?? (await mkdtemp(join(root, "case-"))), settings });
  onTestFinished(() => served.kill());
  return served;
}

interface Answered {
  readonly status: number;
  readonly body: string;
  readonly reused: boolean;
}

function send(
  url: string,
  path: string,
  body: Buffer,
  { agent, type = "image/png" }: { agent?: Agent; type?: string } = {},
) {
  return new Promise<Answered>((resolve, reject) => {
    const headers = { "content-type": type, "content-length": body.length };
    const call = request(`${url}${path}`, { method: "POST", headers, agent: agent ?? false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode!, body: text, reused: call.reusedSocket }));
    });
    call.on("error", reject);
    call.end(body);
  });
}

describe("an idle connection", () => {
  it("is there after five seconds, for 200 clients twice, and is told how long it will be", async () => {
    const { url } = await serve();
    const agents = Array.from({ length: 200 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
    onTestFinished(() => {
      for (const agent of agents) agent.destroy();
    });
    for (const turn of [0, 1, 2]) {
      if (turn > 0) await sleep(5000);
      const answers = await Promise.all(agents.map((agent) => send(url, "/predict", image, { agent })));
      expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
      expect(answers.every(({ reused }) => reused === turn > 0)).toBe(true);
    }
    const health = await fetch(`${url}/health/live`);
    expect(Number(/timeout=(\d+)/.exec(health.headers.get("keep-alive") ?? "")?.[1])).toBeGreaterThan(60);
  });
});

describe("SIGTERM", () => {
  it("lets a request in flight end, closes ten idle connections and ends with 0 within the grace", async () => {
    const { url, child, ended } = await serve(["serving.max_delay_ms=1000", "serving.batch_window=fixed"]);
    const port = Number(new URL(url).port);
    const idle = await Promise.all(
      Array.from({ length: 10 }, (_, i) => {
        return new Promise<{ readonly socket: Socket; readonly closed: Promise<void> }>((resolve) => {
          const socket = connect(port, "127.0.0.1");
          const closed = new Promise<void>((done) => socket.once("close", () => done()));
          socket.on("error", () => undefined);
          // Half of them have been used before.
          if (i % 2 === 0) socket.once("connect", () => resolve({ socket, closed }));
          else socket.write("GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
          socket.once("data", () => resolve({ socket, closed }));
        });
      }),
    );
    const answer = send(url, "/predict", image);
    await expect
      .poll(async () => ((await (await fetch(`${url}/health`)).json()) as { queue_length: number }).queue_length)
      .toBe(1);
    child.kill("SIGTERM");
    expect((await answer).status).toBe(200);
    // A process that hangs would be ended by the test's own time limit.
    expect(await ended).toBe(0);
    await Promise.all(idle.map(({ closed }) => closed));
  });
});

describe("a uniform PNG of 30000 x 30000", () => {
  it("is refused in every way to send it, and takes no memory", async () => {
    const { url, child } = await serve();
    const file = await hugeUniformPng(30_000);
    const json = Buffer.from(JSON.stringify({ image: file.toString("base64") }));
    const peakMegabytes = async () => {
      const status = await readFile(`/proc/${child.pid}/status`, "utf8");
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1024;
    };
    for (let i = 0; i < 20; i++) expect((await send(url, "/predict", image)).status).toBe(200);
    const hasProc = existsSync("/proc/self/status");
    const before = hasProc ? await peakMegabytes() : 0;
    for (let round = 0; round < 10; round++) {
      for (const [body, type] of [
        [file, "image/png"],
        [json, "application/json"],
      ] as const) {
        const refused = await send(url, "/predict", body, { type });
        expect({ status: refused.status, code: JSON.parse(refused.body).code }).toEqual({
          status: 413,
          code: "IMAGE_TOO_LARGE",
        });
      }
    }
    // Decoded it would have 900 MB, or 112 MB in its own depth of one bit.
    if (hasProc) expect((await peakMegabytes()) - before).toBeLessThan(64);
    expect((await send(url, "/predict", image)).status).toBe(200);
  });
});

describe("kill -9 under load", () => {
  it("shows clients connection errors only, and the next start finds every acknowledged feedback in whole lines", async () => {
    const folder = await mkdtemp(join(root, "killed-"));
    const acknowledged: string[] = [];
    for (const round of [0, 1]) {
      const { url, child, ended } = await serve([], folder);
      const outcomes: string[] = [];
      const killed = acknowledged.length + 40;
      const client = async (id: number) => {
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        for (;;) {
          try {
            const { status, body } = await send(url, "/predict", image, { agent });
            outcomes.push(String(status));
            const { request_id: requestId, predicted_label: label } = JSON.parse(body);
            const feedback = Buffer.from(JSON.stringify({ request_id: requestId, true_label: label }));
            const told = await send(url, "/feedback", feedback, { agent, type: "application/json" });
            outcomes.push(String(told.status));
            expect(JSON.parse(told.body)).toMatchObject({ request_id: requestId, correct: true });
            acknowledged.push(requestId);
            if (id === 0 && acknowledged.length >= killed) child.kill("SIGKILL");
          } catch (error) {
            outcomes.push((error as NodeJS.ErrnoException).code ?? String(error));
            agent.destroy();
            return;
          }
        }
      };
      await Promise.all(Array.from({ length: 8 }, (_, id) => client(id)));
      expect(await ended).toBe("SIGKILL");
      const unexpected = outcomes.filter(
        (outcome) => !["200", "ECONNRESET", "ECONNREFUSED", "EPIPE"].includes(outcome),
      );
      expect(unexpected, `round ${round}`).toEqual([]);
    }
    const { url, child, ended } = await serve([], folder);
    expect((await send(url, "/predict", image)).status).toBe(200);
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    const lines = (await readFile(join(folder, "logs", logFileNames.app), "utf8")).trimEnd().split("\n");
    const reported = new Set(
      lines.flatMap((line) => (JSON.parse(line) as { feedback?: { request_id: string } }).feedback?.request_id ?? []),
    );
    expect(acknowledged.filter((id) => !reported.has(id))).toEqual([]);
  });
});
