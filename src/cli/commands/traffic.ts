import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import sharp from "sharp";
import { createRng } from "../../base/rng.ts";
import { percent } from "../display/format.ts";
import { startProgress } from "../display/progress.ts";
import { note, print, printJson, type Terminal } from "../display/terminal.ts";
import { exitCodes, usageError } from "../failure.ts";
import { onInterrupt } from "../interrupt.ts";
import { invocation } from "../invocation.ts";

interface TrafficArguments {
  readonly url: string;
  readonly requests: string;
  readonly rate: string;
  readonly errors: string;
  readonly seed: string;
  readonly json?: boolean;
}

export function addTrafficCommand(program: Command, terminal: Terminal): void {
  program
    .command("traffic")
    .description("send realistic requests to a running API, so that metrics and dashboards have something to show")
    .option("--url <url>", "address of the API", "http://127.0.0.1:8000")
    .option("--requests <number>", "how many", "200")
    .option("--rate <number>", "mean requests a second, at random times", "10")
    .option("--errors <share>", "share of bad requests, 0 to 1", "0.05")
    .option("--seed <number>", "seed of what is random", "1")
    .option("--json", "machine-readable output")
    .option("--debug", "show where an error comes from")
    .action((options: TrafficArguments) => traffic(terminal, options));
}

async function traffic(terminal: Terminal, options: TrafficArguments): Promise<void> {
  const requests = numberOf("--requests", options.requests, 1, 1e7);
  const rate = numberOf("--rate", options.rate, 0.01, 10_000);
  const errors = numberOf("--errors", options.errors, 0, 1);
  const rng = createRng(options.seed);
  using interrupt = onInterrupt(terminal, "");
  const progress = startProgress(terminal, "requests");
  const statuses: Record<string, number> = {};
  const times: number[] = [];
  const pending = new Set<Promise<void>>();
  let sent = 0;
  const send = async (path: string, init: RequestInit): Promise<void> => {
    const started = performance.now();
    const status = await fetch(`${options.url}${path}`, { ...init, signal: AbortSignal.timeout(60_000) }).then(
      async (response) => {
        await response.arrayBuffer();
        return String(response.status);
      },
      () => "no answer",
    );
    statuses[status] = (statuses[status] ?? 0) + 1;
    times.push(performance.now() - started);
  };
  try {
    while (sent < requests && !interrupt.signal.aborted) {
      const kind = rng.uniform();
      const task =
        kind < errors
          ? send(...badRequest(rng.int(3)))
          : kind < errors + 0.1
            ? send(["/health", "/classes", "/models", "/"][rng.int(4)]!, {})
            : send("/predict", { method: "POST", body: await picture(rng.uint32()) });
      pending.add(task);
      void task.then(() => pending.delete(task));
      sent++;
      progress.update(sent, requests, `${sent}/${requests}`);
      // Arrivals of a Poisson process: what independent clients make.
      await sleep((-Math.log(1 - rng.uniform()) * 1000) / rate);
    }
    await Promise.all(pending);
  } finally {
    progress.stop();
  }
  times.sort((a, b) => a - b);
  const quantile = (q: number): number =>
    Math.round(times[Math.min(times.length - 1, Math.floor(q * times.length))] ?? 0);
  const [p50, p95, p99] = [quantile(0.5), quantile(0.95), quantile(0.99)];
  const failed = statuses["no answer"] ?? 0;
  if (options.json === true) printJson(terminal, { sent, statuses, latencyMs: { p50, p95, p99 } });
  else {
    print(
      terminal,
      `${sent} requests: ${Object.entries(statuses)
        .map(([status, n]) => `${n} x ${status}`)
        .join(", ")}`,
    );
    print(terminal, `latency: p50 ${p50} ms, p95 ${p95} ms, p99 ${p99} ms; bad on purpose: ${percent(errors)}`);
  }
  if (failed === sent) {
    note(terminal, `${options.url} does not answer: start the API with \`${invocation()} serve\` or \`npm start\``);
    terminal.status.code = exitCodes.failed;
  }
}

function badRequest(kind: number): [path: string, init: RequestInit] {
  if (kind === 0) return ["/no-such-page", {}];
  if (kind === 1) return ["/predict", { method: "POST", body: form(Buffer.from("no image")) }];
  return ["/predict", { method: "DELETE" }];
}

/** A drawing of its own for each request: coloured noise at a random scale. */
async function picture(seed: number): Promise<FormData> {
  const rng = createRng(seed);
  const size = 4 + rng.int(29);
  const pixels = Buffer.from(Array.from({ length: size * size * 3 }, () => rng.int(256)));
  const raw = { width: size, height: size, channels: 3 } as const;
  return form(await sharp(pixels, { raw }).resize(64, 64).png().toBuffer());
}

function form(bytes: Buffer): FormData {
  const body = new FormData();
  body.append("file", new Blob([new Uint8Array(bytes)]), "image.png");
  return body;
}

function numberOf(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= min && value <= max) return value;
  throw usageError(`${option} must be a number from ${min} to ${max}, got ${text}`, "see `cifar help traffic`");
}
