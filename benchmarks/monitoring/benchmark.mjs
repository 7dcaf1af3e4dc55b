// What monitoring costs: a scrape of many series, interleaved with prometheus_client of Python; and requests a second
// with metrics, logs, drift and an open dashboard against the same server with none of them.
import { mkdtemp, rm } from "node:fs/promises";
import { get } from "node:http";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { metricTable } from "../../dist/observability/metric-table.js";
import { Contestant } from "../harness/contestant.mjs";
import { interleave } from "../harness/interleave.mjs";
import { wholeNumber } from "../harness/peer-python.mjs";
import { startServer } from "../harness/server-process.mjs";
import { median, quantile } from "../harness/statistics.mjs";
import { closedLoop, uploadBody } from "../serving/load.mjs";
import { makeBundle } from "../serving/make-bundle.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export const options = {
  python: { type: "string", description: "Python with prometheus_client (BENCH_PYTHON, python3)" },
  series: { type: "string", default: "10000", description: "series of the scrape" },
  rounds: { type: "string", default: "9", description: "turns of each" },
  seconds: { type: "string", default: "3", description: "length of a turn of requests" },
  connections: { type: "string", default: "8", description: "clients that ask at once" },
};

export async function run(values, print) {
  const rounds = wholeNumber("rounds", values.rounds);
  print(`${cpus()[0]?.model}, ${cpus().length} cores, load ${loadavg()[0].toFixed(2)} at the start`);
  const scrape = await runScrape(values, rounds, print);
  const cost = await runCost(values, rounds, print);
  return { ratio: scrape.ratio, scrape, cost };
}

/** Half of the series are counters, half are buckets, sums and counts of histograms. */
async function runScrape(values, rounds, print) {
  const total = wholeNumber("series", values.series);
  const { buckets } = metricTable.api_request_duration_seconds;
  const histograms = Math.ceil(total / (buckets.length + 4));
  const question = JSON.stringify({ counters: histograms, histograms, buckets });
  const python = values.python ?? process.env.BENCH_PYTHON ?? "python3";
  const contestants = [
    new Contestant("ours", process.execPath, [here("./scrape.mjs"), question]),
    new Contestant("prometheus_client", python, [here("./scrape.py"), question]),
  ];
  try {
    const [, { version }] = await Promise.all(contestants.map((contestant) => contestant.ready()));
    const { times } = await interleave(contestants, { rounds, steps: 10, budgetMs: 120_000 });
    const [ours, peer] = times.map((turns) => median(turns.flat()));
    const ratio = peer / ours;
    const figures = `ours ${ours.toFixed(1)} ms, prometheus_client ${version} ${peer.toFixed(1)} ms`;
    print(`scrape of ${total} series: ${figures}, ratio ${ratio.toFixed(2)}`);
    return { series: total, ours_ms: ours, peer_ms: peer, peer: version, ratio };
  } finally {
    await Promise.all(contestants.map((contestant) => contestant.close()));
  }
}

async function runCost(values, rounds, print) {
  const root = await mkdtemp(join(tmpdir(), "bench-monitoring-"));
  const servers = [];
  let dashboard;
  try {
    const bundle = await makeBundle(root, { network: "resnet9", size: 32 });
    for (const mode of ["on", "off"]) {
      const args = [here("./server.mjs"), bundle.directory, join(root, "logs"), mode];
      servers.push(await startServer(mode, process.execPath, args));
    }
    // Somebody looks at the dashboard, and Prometheus scrapes every five seconds.
    dashboard = get(`${servers[0].url}/dashboard/events`, (response) => response.resume());
    dashboard.on("error", () => undefined);
    const image = await sharp({ create: { width: 32, height: 32, channels: 3, background: "#808080" } })
      .png()
      .toBuffer();
    const body = uploadBody(image, "image.png");
    const load = {
      connections: wholeNumber("connections", values.connections),
      seconds: wholeNumber("seconds", values.seconds),
    };
    const ratios = [];
    const rates = servers.map(() => []);
    for (let round = 0; round < rounds; round++) {
      const rate = [];
      for (let turn = 0; turn < servers.length; turn++) {
        const index = (round + turn) % servers.length;
        await closedLoop(servers[index].url, body, { ...load, seconds: 0.5 });
        const turnLoad = closedLoop(servers[index].url, body, load);
        await fetch(`${servers[index].url}/metrics`).then((response) => response.text());
        rate[index] = (await turnLoad).perSecond;
        rates[index].push(rate[index]);
      }
      ratios.push(rate[0] / rate[1]);
    }
    const share = median(ratios);
    const [on, off] = rates.map(median);
    const spread = [0.25, 0.75].map((part) => quantile(ratios, part).toFixed(3)).join(" to ");
    print(
      `requests a second, resnet9, ${load.connections} clients: with monitoring ${on.toFixed(1)}, without ${off.toFixed(1)}; ` +
        `ratio of a round ${share.toFixed(3)} (quartiles ${spread})`,
    );
    return { with_per_second: on, without_per_second: off, share, ratios };
  } finally {
    dashboard?.destroy();
    await Promise.all(servers.map((server) => server.stop()));
    await rm(root, { recursive: true, force: true });
  }
}
