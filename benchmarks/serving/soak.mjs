// The server for a long time near what it can do, while its model is replaced again and again: does a request fail, does
// memory or a handle stay behind? Load comes from this process over loopback: it shares the cores with the server.
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { startServer } from "../harness/server-process.mjs";
import { median } from "../harness/statistics.mjs";
import { noise } from "./images.mjs";
import { latencyFigures, uploadBody, uploadType } from "./load.mjs";
import { makeBundle } from "./make-bundle.mjs";

const cli = fileURLToPath(new URL("../../bin/cifar.mjs", import.meta.url));

export const options = {
  minutes: { type: "string", default: "30", description: "length of the soak" },
  share: { type: "string", default: "0.8", description: "load, of the highest rate measured before" },
  reload: { type: "string", default: "20", description: "seconds from one reload to the next" },
  network: { type: "string", default: "resnet9", description: "network that serves" },
};

const versions = ["20260101-000000", "20260201-000000"];
const sampleSeconds = 5;
const clients = 8;

export async function run(values, print) {
  const [minutes, share, reloadSeconds] = ["minutes", "share", "reload"].map((name) => positive(values[name], name));
  const root = await mkdtemp(join(tmpdir(), "bench-soak-"));
  try {
    const bundles = [];
    for (const [index, version] of versions.entries()) {
      bundles.push(await makeBundle(root, { network: values.network, size: 32, version, seed: index + 1 }));
    }
    const args = [cli, "serve", "--model", bundles[1].directory, "--set", "monitoring.log_dir=logs", "--port"];
    const server = await startServer("the server", process.execPath, args, { cwd: root });
    try {
      const calls = await mix(`${values.network}_bench`);
      return await soak({ server, calls, network: values.network, minutes, share, reloadSeconds }, print);
    } finally {
      await server.stop();
    }
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function soak({ server, calls, network, minutes, share, reloadSeconds }, print) {
  await highestRate(server.url, calls, 2);
  const capacity = await highestRate(server.url, calls, 10);
  const perSecond = capacity * share;
  print(`${network}: ${capacity.toFixed(1)} requests/s with ${clients} clients; the soak at ${perSecond.toFixed(1)}/s`);
  const end = performance.now() + minutes * 60_000;
  const samples = [];
  const failures = [];
  const minute = { latencies: [] };
  const perMinute = [];
  const reloads = { done: 0, failed: 0 };
  const work = [
    openLoop({ server, calls, perSecond, end, failures, onLatency: (ms) => minute.latencies.push(ms) }),
    every(reloadSeconds, end, async (turn) => {
      const parameters = { version: versions[turn % versions.length] };
      const call = { path: `/v2/repository/models/${network}_bench/load`, type: "application/json" };
      const { status } = await send(server.url, { ...call, body: Buffer.from(JSON.stringify({ parameters })) });
      reloads[status === 200 ? "done" : "failed"]++;
    }),
    every(sampleSeconds, end, async () => samples.push(await resources(server.url))),
    every(60, end, async () => {
      const latencies = minute.latencies.splice(0);
      const figures = {
        minute: perMinute.length + 1,
        requests: latencies.length,
        ...latencyFigures(latencies),
        ...samples.at(-1),
      };
      perMinute.push(figures);
      const { requests, p50_ms: p50, p95_ms: p95, p99_ms: p99, rss, heap, descriptors, handles } = figures;
      print(
        `  ${String(figures.minute).padStart(3)} min  ${requests} requests  p50 ${p50} p95 ${p95} p99 ${p99} ms  ` +
          `rss ${mega(rss)} heap ${mega(heap)} MB  ${descriptors} descriptors, ${handles} handles  ` +
          `${failures.length} failed, ${reloads.done} reloads`,
      );
    }),
  ];
  await Promise.all(work);
  const verdict = judge(samples, failures, reloads);
  print(`\n${verdict.passed ? "passed" : `failed: ${verdict.reasons.join("; ")}`}`);
  if (!verdict.passed) process.exitCode = 1;
  const hardware = { cpu: cpus()[0]?.model, cores: cpus().length };
  return {
    ratio: verdict.memory.middle / verdict.memory.last,
    ...hardware,
    capacity,
    perSecond,
    perMinute,
    reloads,
    verdict,
  };
}

/** The last third of the samples against the middle third: the first is the warming up. */
function judge(samples, failures, reloads) {
  const third = Math.floor(samples.length / 3);
  const compare = (name) => ({
    middle: median(samples.slice(third, 2 * third).map((sample) => sample[name])),
    last: median(samples.slice(2 * third).map((sample) => sample[name])),
  });
  const [memory, descriptors, handles] = ["rss", "descriptors", "handles"].map(compare);
  const reasons = [];
  if (failures.length > 0)
    reasons.push(`${failures.length} failed requests (${[...new Set(failures)].slice(0, 5).join(", ")})`);
  if (reloads.failed > 0 || reloads.done === 0) reasons.push(`${reloads.done} reloads done, ${reloads.failed} failed`);
  if (memory.last > 1.05 * memory.middle)
    reasons.push(`memory grows: ${mega(memory.middle)} to ${mega(memory.last)} MB`);
  for (const [name, { middle, last }] of Object.entries({ descriptors, handles })) {
    if (last > middle + 5) reasons.push(`${name} grow: ${middle} to ${last}`);
  }
  return { passed: reasons.length === 0, reasons, failed: failures.length, memory, descriptors, handles };
}

/** A request every so often, whatever became of the ones before, each kind in its turn. */
async function openLoop({ server, calls, perSecond, end, failures, onLatency }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const pending = new Set();
  const began = performance.now();
  for (let sent = 0; performance.now() < end; ) {
    const due = Math.floor(((performance.now() - began) / 1000) * perSecond);
    for (; sent < due; sent++) {
      const answer = send(server.url, calls[sent % calls.length], agent).then(
        ({ status, ms }) => (status === 200 ? onLatency(ms) : failures.push(`status ${status}`)),
        (error) => failures.push(error.code ?? error.message),
      );
      pending.add(answer);
      void answer.finally(() => pending.delete(answer));
    }
    await sleep(2);
  }
  await Promise.all(pending);
  agent.destroy();
}

async function highestRate(url, calls, seconds) {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const began = performance.now();
  const end = began + seconds * 1000;
  let count = 0;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let turn = client; performance.now() < end; turn++) {
        const { status } = await send(url, calls[turn % calls.length], agent);
        if (status !== 200) throw new Error(`${calls[turn % calls.length].path} answers ${status}`);
        count++;
      }
    }),
  );
  const took = (performance.now() - began) / 1000;
  agent.destroy();
  return count / took;
}

async function every(seconds, end, work) {
  const began = performance.now();
  for (let turn = 0; ; turn++) {
    const at = began + (turn + 1) * seconds * 1000;
    if (at > end + 100) return;
    await sleep(Math.max(0, at - performance.now()));
    await work(turn);
  }
}

/** One of each way to ask for predictions. */
async function mix(model) {
  const jpeg = await noise(640, 480).jpeg({ quality: 85 }).toBuffer();
  const png = await noise(32, 32).png().toBuffer();
  const json = { images: [png, png, png, png].map((file) => file.toString("base64")) };
  const inputs = [{ name: "images", datatype: "BYTES", shape: [1], data: [png.toString("base64")] }];
  return [
    { path: "/predict", type: uploadType, body: uploadBody(jpeg, "photo.jpg") },
    { path: "/predict", type: uploadType, body: uploadBody(png, "small.png") },
    { path: "/predict", type: "image/png", body: png },
    { path: "/predict/batch", type: "application/json", body: Buffer.from(JSON.stringify(json)) },
    { path: `/v2/models/${model}/infer`, type: "application/json", body: Buffer.from(JSON.stringify({ inputs })) },
  ];
}

function send(url, { path, type, body }, agent) {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const headers = { "content-type": type, "content-length": body.length };
    const call = request(`${url}${path}`, { method: "POST", headers, agent }, (response) => {
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, ms: performance.now() - started }));
      response.resume();
    });
    call.on("error", reject);
    call.end(body);
  });
}

async function resources(url) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = (name) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
  return {
    rss: value("process_resident_memory_bytes"),
    heap: value("nodejs_heap_used_bytes"),
    descriptors: value("process_open_fds"),
    handles: value("nodejs_active_handles"),
  };
}

const mega = (bytes) => (bytes / 1e6).toFixed(0);

function positive(text, option) {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${option}: ${text} is no number above 0`);
  return value;
}
