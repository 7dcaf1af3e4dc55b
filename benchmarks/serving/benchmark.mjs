// Requests a second and latencies of the prediction server, interleaved with FastAPI and PyTorch that serve the same
// weights. Load comes from this process over loopback: it shares the cores with the server, on both sides.
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { startServer } from "../harness/server-process.mjs";
import { geometricMean, median } from "../harness/statistics.mjs";
import { closedLoop, latencyFigures, openLoop, upload, uploadBody } from "./load.mjs";
import { makeBundle } from "./make-bundle.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export const options = {
  python: { type: "string", description: "Python with torch, torchvision, fastapi, uvicorn (BENCH_PYTHON, python3)" },
  rounds: { type: "string", default: "3", description: "turns of each server for each number of connections" },
  seconds: { type: "string", default: "3", description: "length of a turn" },
  connections: { type: "string", default: "1,8,32", description: "numbers of clients" },
  cases: { type: "string", default: "mobilenet_v3_large-jpeg,resnet9-png", description: "network and upload" },
  overload: { type: "string", default: "1.5", description: "open-loop rate over the highest closed-loop one; 0: none" },
};

const networks = { mobilenet_v3_large: 224, resnet9: 32 };
const uploads = {
  // A photograph's size and roughness: smooth noise.
  jpeg: () => noise(160, 120).resize(640, 480, { kernel: "cubic" }).jpeg({ quality: 85 }).toBuffer(),
  png: () => noise(32, 32).png().toBuffer(),
};

export async function run(values, print) {
  const rounds = count(values.rounds, "--rounds");
  const seconds = count(values.seconds, "--seconds");
  const connections = values.connections.split(",").map((text) => count(text, "--connections"));
  const python = values.python ?? process.env.BENCH_PYTHON ?? "python3";
  const root = await mkdtemp(join(tmpdir(), "bench-serving-"));
  const results = [];
  try {
    for (const name of values.cases.split(",")) {
      const [network, format] = name.split("-");
      const size = networks[network];
      if (size === undefined || uploads[format] === undefined) throw new Error(`no case ${name}`);
      const bundle = await makeBundle(root, { network, size });
      const body = uploadBody(await uploads[format](), `image.${format}`);
      const servers = [await startOurs(bundle.directory), await startPeer(python, bundle.directory, network)];
      try {
        await requireSameAnswers(servers, size);
        results.push(await runCase({ name, servers, body, rounds, seconds, connections, values }, print));
      } finally {
        await Promise.all(servers.map((server) => server.stop()));
      }
    }
  } finally {
    await rm(root, { recursive: true, force: true });
  }
  const ratio = geometricMean(results.flatMap(({ levels }) => levels.map((level) => level.ratio)));
  print(`\nratio over all, geometric mean: ${ratio.toFixed(2)}`);
  return { ratio, cpu: cpus()[0]?.model, cores: cpus().length, cases: results };
}

async function runCase({ name, servers, body, rounds, seconds, connections, values }, print) {
  print(`\n${name}, an upload of ${body.length} bytes; peer: ${servers[1].about}`);
  const levels = [];
  let best = 0;
  for (const clients of connections) {
    const turns = servers.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < servers.length; turn++) {
        const index = (round + turn) % servers.length;
        await closedLoop(servers[index].url, body, { connections: clients, seconds: 0.5 });
        turns[index].push(await closedLoop(servers[index].url, body, { connections: clients, seconds }));
      }
    }
    const [ours, peer] = turns.map((list) => ({
      per_second: Number(median(list.map(({ perSecond }) => perSecond)).toFixed(1)),
      ...latencyFigures(list.flatMap(({ latencies }) => latencies)),
    }));
    best = Math.max(best, ours.per_second);
    const level = { connections: clients, ours, peer, ratio: ours.per_second / peer.per_second };
    levels.push(level);
    const show = ({ per_second: rate, p50_ms: p50, p95_ms: p95, p99_ms: p99 }) =>
      `${rate.toFixed(1).padStart(7)}/s  p50 ${p50} p95 ${p95} p99 ${p99} ms`;
    print(
      `  ${String(clients).padStart(3)} clients  ours ${show(ours)}  peer ${show(peer)}  ratio ${level.ratio.toFixed(2)}`,
    );
  }
  const factor = Number(values.overload);
  if (!(factor > 0)) return { name, levels };
  const perSecond = best * factor;
  const { sent, latencies, refused, failed } = await openLoop(servers[0].url, body, { perSecond, seconds: 5 });
  const overload = {
    per_second: perSecond,
    sent,
    answered: latencies.length,
    refused,
    failed,
    ...latencyFigures(latencies),
  };
  print(
    `  overload, ${perSecond.toFixed(0)} a second for 5 s: ${latencies.length} answered, ${refused} refused, ${failed} failed; ` +
      `p50 ${overload.p50_ms} p99 ${overload.p99_ms} ms`,
  );
  return { name, levels, overload };
}

/** Of an image of the network's size, so that the two ways to resize don't matter. */
async function requireSameAnswers(servers, size) {
  const body = uploadBody(await noise(size, size).png().toBuffer(), "check.png");
  const [ours, peer] = await Promise.all(
    servers.map(async ({ url }) => JSON.parse((await upload(url, body)).body).all_probabilities),
  );
  for (const [label, value] of Object.entries(ours)) {
    if (!(Math.abs(value - peer[label]) < 1e-3)) throw new Error(`${label}: ours ${value}, peer ${peer[label]}`);
  }
}

function startOurs(bundle) {
  const args = [here("../../bin/cifar.mjs"), "serve", "--model", bundle, "--port"];
  return startServer("ours", process.execPath, args);
}

/** @returns the running peer, with what it says of itself */
async function startPeer(python, bundle, network) {
  try {
    const server = await startServer("the peer", python, [here("./service.py"), bundle, network]);
    const { torch, threads } = server.health;
    return { ...server, about: `FastAPI, PyTorch ${torch}, ${threads} threads` };
  } catch (cause) {
    const remedy = "the peer needs `pip install torch torchvision fastapi uvicorn python-multipart`";
    throw new Error(`${cause.message}; ${remedy}`, { cause });
  }
}

function noise(width, height) {
  let state = 1;
  const data = Uint8Array.from({ length: width * height * 3 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 60 + (state >>> 25);
  });
  return sharp(data, { raw: { width, height, channels: 3 } });
}

function count(text, option) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${option}: ${text} is no whole number above 0`);
  return value;
}
