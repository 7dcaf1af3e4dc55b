// Requests a second and latencies of the prediction server, interleaved with services in PyTorch that hold the same weights:
// FastAPI (one image at a time) and LitServe (batches), each eager and compiled. Load comes from this process over loopback:
// it shares the cores with the server, on all sides.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readBundle } from "../../dist/inference/bundle.js";
import { describeMachine } from "../harness/machine.mjs";
import { peerPython, wholeNumber } from "../harness/peer-python.mjs";
import { startServer } from "../harness/server-process.mjs";
import { geometricMean, median } from "../harness/statistics.mjs";
import { forwardFlops, matmulRate } from "./flops.mjs";
import { noise } from "./images.mjs";
import { closedLoop, latencyFigures, openLoop, upload, uploadBody } from "./load.mjs";
import { makeBundle } from "./make-bundle.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export const options = {
  python: { type: "string", description: "Python with torch, torchvision, fastapi, litserve (BENCH_PYTHON, python3)" },
  rounds: { type: "string", default: "3", description: "turns of each server for each number of connections" },
  seconds: { type: "string", default: "3", description: "length of a turn" },
  connections: { type: "string", default: "1,8,64", description: "numbers of clients" },
  cases: {
    type: "string",
    default: "mobilenet_v3_large-jpeg,mobilenet_v3_large-png,resnet9-jpeg,resnet9-png",
    description: "network and upload",
  },
  bundle: { type: "string", description: "a trained bundle for the cases of its network; random weights otherwise" },
  forms: { type: "string", default: "auto", description: "forms of the network that ours serves, each a server" },
  peers: { type: "string", default: "fastapi,litserve", description: "services to compare with" },
  "open-loop": { type: "string", default: "0.8", description: "open-loop rate, of the slower peer's highest; 0: none" },
  overload: { type: "string", default: "1.5", description: "open-loop rate over our highest closed-loop one; 0: none" },
};

const sizes = { mobilenet_v3_large: 224, mobilenet_v2: 224, resnet9: 32 };
const uploads = {
  // A photograph's size and roughness: smooth noise.
  jpeg: () => noise(160, 120).resize(640, 480, { kernel: "cubic" }).jpeg({ quality: 85 }).toBuffer(),
  png: () => noise(32, 32).png().toBuffer(),
};
/** From one server's turn to the next: threads of the last one go to sleep. */
const settleMs = 200;
/** Before anything is measured, each: until the code that runs often is compiled. */
const warmUp = { connections: 8, seconds: 5 };

export async function run(values, print) {
  const rounds = wholeNumber("rounds", values.rounds);
  const seconds = wholeNumber("seconds", values.seconds);
  const connections = values.connections.split(",").map((text) => wholeNumber("connections", text));
  const { python, versions } = peerPython(values.python);
  const hardware = describeMachine(versions, print);
  const peak = await matmulRate();
  print(`a product of matrices reaches ${peak.toFixed(0)} GFLOP/s here`);
  const root = await mkdtemp(join(tmpdir(), "bench-serving-"));
  const results = [];
  try {
    for (const name of values.cases.split(",")) {
      const [network, format] = name.split("-");
      if (sizes[network] === undefined || uploads[format] === undefined) throw new Error(`no case ${name}`);
      const bundle = await bundleFor(root, network, values.bundle);
      const file = await uploads[format]();
      const servers = [];
      try {
        for (const form of values.forms.split(",")) servers.push(await startOurs(bundle.directory, form));
        for (const peer of values.peers.split(",")) {
          for (const mode of ["eager", "compiled"]) {
            servers.push(await startPeer({ python, bundle: bundle.directory, network, peer, mode }));
          }
        }
        await requireSameAnswers(servers, bundle.metadata.preprocessing);
        for (const server of servers) server.body = bodyFor(server, file, `image.${format}`);
        print(`\n${name}, a file of ${file.length} bytes`);
        const flops = forwardFlops(bundle.metadata);
        results.push(await runCase({ name, servers, rounds, seconds, connections, values, flops, peak }, print));
      } finally {
        await Promise.all(servers.map((server) => server.stop()));
      }
    }
  } finally {
    await rm(root, { recursive: true, force: true });
  }
  const ratio = geometricMean(results.flatMap(({ levels }) => levels.map((level) => level.ratio)));
  print(`\nratio over all, geometric mean: ${ratio.toFixed(2)}`);
  return {
    ratio,
    ratio_is: "requests a second of ours over the best peer's",
    ...hardware,
    versions,
    peak,
    cases: results,
  };
}

async function bundleFor(root, network, given) {
  const bundle = given === undefined ? undefined : await readBundle(given);
  if (bundle?.metadata.model.architecture === network) return bundle;
  return makeBundle(await mkdtemp(join(root, "bundle-")), { network, size: sizes[network] });
}

const bodyFor = ({ name }, file, fileName) =>
  uploadBody(file, fileName, name.startsWith("litserve") ? "request" : undefined);

async function runCase({ name, servers, rounds, seconds, connections, values, flops, peak }, print) {
  for (const server of servers) await closedLoop(server.url, server.body, warmUp);
  // Servers that wait look for work now and then, which would slow down the one that is measured.
  for (const server of servers) server.pause();
  const levels = [];
  for (const clients of connections) {
    const turns = servers.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < servers.length; turn++) {
        const index = (round + turn) % servers.length;
        const { url, body } = servers[index];
        servers[index].resume();
        await sleep(settleMs);
        await closedLoop(url, body, { connections: clients, seconds: 0.5 });
        turns[index].push(await closedLoop(url, body, { connections: clients, seconds }));
        servers[index].pause();
      }
    }
    const found = servers.map((server, index) => ({
      server: server.name,
      per_second: Number(median(turns[index].map(({ perSecond }) => perSecond)).toFixed(1)),
      ...latencyFigures(turns[index].flatMap(({ latencies }) => latencies)),
    }));
    const [ours, theirs] = [best(found, isOurs), best(found, (one) => !isOurs(one))];
    const level = {
      ...{ connections: clients, servers: found },
      ratio: ours.per_second / theirs.per_second,
      ratios: Object.fromEntries(
        values.peers.split(",").map((peer) => {
          const rate = best(found, ({ server }) => server.startsWith(peer)).per_second;
          return [peer, Number((ours.per_second / rate).toFixed(2))];
        }),
      ),
    };
    levels.push(level);
    print(
      `  ${clients} clients: ${Object.entries(level.ratios)
        .map(([peer, ratio]) => `${ratio} of ${peer}'s rate`)
        .join(", ")}`,
    );
    for (const one of found) print(`    ${showLatencies(one)}`);
  }
  const highest = Math.max(...levels.flatMap((level) => level.servers.filter(isOurs).map((one) => one.per_second)));
  const reached = (highest * flops) / 1e9;
  print(`  ours at its highest rate: ${reached.toFixed(1)} GFLOP/s in the network, of ${peak.toFixed(0)}`);
  return {
    ...{ name, levels, gflops: reached },
    open_loop: await compareOpenLoops({ servers, levels, share: Number(values["open-loop"]) }, print),
    overload: await overloaded(servers[0], highest * Number(values.overload), print),
  };
}

const isOurs = ({ server }) => server.startsWith("ours");
const best = (found, wanted) => found.filter(wanted).reduce((a, b) => (b.per_second > a.per_second ? b : a));

/** The latency of each at one and the same rate, which each of them can bear. */
async function compareOpenLoops({ servers, levels, share }, print) {
  if (!(share > 0)) return undefined;
  const highest = servers.map(({ name }) =>
    Math.max(
      ...levels.flatMap((level) => level.servers.filter(({ server }) => server === name)).map((one) => one.per_second),
    ),
  );
  const perSecond = share * Math.min(...highest);
  print(`  open loop, ${perSecond.toFixed(1)} a second:`);
  const found = [];
  for (const server of servers) {
    server.resume();
    await sleep(settleMs);
    const { latencies, refused, failed } = await openLoop(server.url, server.body, { perSecond, seconds: 6 });
    server.pause();
    const figures = { server: server.name, per_second: perSecond, refused, failed, ...latencyFigures(latencies) };
    print(`    ${showLatencies(figures)}${refused + failed > 0 ? `  ${refused} refused, ${failed} failed` : ""}`);
    found.push(figures);
  }
  return { per_second: perSecond, servers: found };
}

async function overloaded({ url, body, resume }, perSecond, print) {
  if (!(perSecond > 0)) return undefined;
  resume();
  const { sent, latencies, refused, failed } = await openLoop(url, body, { perSecond, seconds: 5 });
  const figures = {
    per_second: perSecond,
    sent,
    answered: latencies.length,
    refused,
    failed,
    ...latencyFigures(latencies),
  };
  print(
    `  overload, ${perSecond.toFixed(0)} a second for 5 s: ${latencies.length} answered, ${refused} refused, ${failed} failed; ` +
      `p50 ${figures.p50_ms} p99 ${figures.p99_ms} ms`,
  );
  return figures;
}

function showLatencies({ server, per_second: rate, p50_ms: p50, p95_ms: p95, p99_ms: p99 }) {
  return `${server.padEnd(18)} ${rate.toFixed(1).padStart(7)}/s  p50 ${p50} p95 ${p95} p99 ${p99} ms`;
}

/** Of an image of the network's size, so that the two ways to resize don't matter. */
async function requireSameAnswers(servers, { width, height }) {
  const file = await noise(width, height).png().toBuffer();
  const [ours, ...others] = await Promise.all(
    servers.map(async (server) => {
      const { status, body } = await upload(server.url, bodyFor(server, file, "check.png"));
      if (status !== 200) throw new Error(`${server.name} answers ${status}: ${body.slice(0, 200)}`);
      return JSON.parse(body).all_probabilities;
    }),
  );
  others.forEach((other, index) => {
    const { name } = servers[index + 1];
    // Eight bits are another network's answers.
    const bound = name.includes("int8") || servers[0].name.includes("int8") ? 0.3 : 1e-3;
    for (const [label, value] of Object.entries(ours)) {
      if (!(Math.abs(value - other[label]) < bound))
        throw new Error(`${label}: ours ${value}, ${name} ${other[label]}`);
    }
  });
}

function startOurs(bundle, form) {
  const args = [here("../../bin/cifar.mjs"), "serve", "--model", bundle, "--set", `serving.form=${form}`, "--port"];
  return startServer(`ours ${form}`, process.execPath, args, { group: true });
}

async function startPeer({ python, bundle, network, peer, mode }) {
  const script = here(`./peers/${peer}_service.py`);
  try {
    const options = { group: true, waitMs: 300_000 };
    return await startServer(`${peer} ${mode}`, python, [script, bundle, network, mode], options);
  } catch (cause) {
    const remedy = "the peers need `pip install torch torchvision fastapi uvicorn python-multipart litserve`";
    throw new Error(`${cause.message}; ${remedy}`, { cause });
  }
}
