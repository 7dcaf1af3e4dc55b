// The tracking page beside MLflow's, in headless Chromium, on stores of the same 10,000 runs: what a visitor waits for and
// what the page costs. Each visit is a new browser profile; the servers take turns and the one that waits is halted.
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { wholeNumber } from "../harness/peer-python.mjs";
import { median, quantile } from "../harness/statistics.mjs";
import { fillRuns, logBatches, openApi } from "./load.mjs";
import { inTurn, peerOptions, startOurs, startPeer } from "./servers.mjs";

const waitMs = 180_000;
const quietMs = 500;

export const options = {
  ...peerOptions,
  runs: { type: "string", default: "10000", description: "runs of the experiment" },
  rounds: { type: "string", default: "5", description: "visits of each page" },
  points: { type: "string", default: "100000", description: "points of the curve" },
  stores: { type: "string", description: "folder where the filled stores stay, to be used again" },
  screenshots: { type: "string", description: "folder for a picture of each page as it was measured" },
};

/** Where the pages are, how a filter is typed, and what answers and shows a curve. */
const pages = {
  ours: {
    path: (id) => `/#/experiments/${id}`,
    curvePath: (_, run) => `/#/runs/${run}?tab=metrics`,
    curveRequest: /metrics\/get-curves/,
    curve: ".uplot canvas",
    async filter(page, text) {
      const box = page.getByRole("combobox", { name: /^Filter/ });
      await box.fill(text);
      await box.press("Enter");
    },
  },
  mlflow: {
    path: (id) => `/#/experiments/${id}/runs`,
    curvePath: (id, run) => `/#/experiments/${id}/runs/${run}/model-metrics`,
    curveRequest: /metrics\/get-history/,
    curve: ".js-plotly-plot .main-svg",
    async filter(page, text) {
      const box = page.getByPlaceholder(/metrics\.rmse/);
      await box.fill(text);
      await box.press("Enter");
    },
  },
};

export async function run(values, print) {
  const [runs, rounds, points] = ["runs", "rounds", "points"].map((name) => wholeNumber(name, values[name]));
  const executablePath = [process.env.CHROMIUM_PATH, "/usr/bin/chromium", "/usr/bin/google-chrome"].find(
    (path) => path !== undefined && existsSync(path),
  );
  if (executablePath === undefined) throw new Error("needs Chromium: install it or set CHROMIUM_PATH");
  const load = loadavg()[0];
  print(`${cpus()[0]?.model}, ${cpus().length} cores, load ${load.toFixed(2)} at the start`);
  if (load > 0.5) print("warning: the machine is not idle; figures of a busy machine say little");
  const root = values.stores ?? (await mkdtemp(join(tmpdir(), "bench-tracking-page-")));
  await mkdir(root, { recursive: true });
  const servers = [];
  let browser;
  try {
    servers.push(await startOurs(root), await startPeer(values, root));
    print(`the peer: mlflow ${servers[1].version}`);
    const filled = await fill(root, servers, { runs, points });
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--enable-precise-memory-info"] });
    const visits = servers.map(() => []);
    for (const server of servers) server.pause();
    for (let round = 0; round < rounds; round++)
      await inTurn(servers, round, async (server, index) => {
        server.resume();
        const name = index === 0 ? "ours" : "mlflow";
        visits[index].push(
          await visit(browser, { ...pages[name], url: server.url, ...filled[index], runs, round, name, values }),
        );
        server.pause();
      });
    const [ours, peer] = visits.map(summary);
    const ratios = Object.fromEntries(Object.keys(ours).map((key) => [key, peer[key].median / ours[key].median]));
    for (const key of Object.keys(ours))
      print(`${key}: ours ${show(ours[key])}, mlflow ${show(peer[key])}, ratio ${ratios[key].toFixed(1)}`);
    return { ratio: ratios.first_row_ms, ratio_is: "first_row_ms of MLflow's over ours", ratios, ours, peer, load };
  } finally {
    await browser?.close();
    await Promise.all(servers.map((server) => server.stop()));
    if (values.stores === undefined) await rm(root, { recursive: true, force: true });
  }
}

/** What is in the stores, written once: by server the experiment of many runs, and a run with one long curve. */
async function fill(root, servers, { runs, points }) {
  const file = join(root, `filled-${runs}-${points}.json`);
  if (existsSync(file)) return JSON.parse(await readFile(file, "utf8"));
  const filled = [];
  for (const { url } of servers) {
    const api = openApi(url);
    const id = await fillRuns(api, runs);
    const { experiment_id: curveExperiment } = await api.post("experiments/create", { name: "a long curve" });
    const curveRun = await api.createRun(curveExperiment, "long", 1_700_000_000_000);
    await logBatches(api, curveRun, { first: 0, count: points / 1000 });
    filled.push({ id, curveExperiment, curveRun });
  }
  await writeFile(file, JSON.stringify(filled));
  return filled;
}

async function visit(browser, { url, path, filter, id, runs, round, name, values, ...curve }) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  try {
    const page = await context.newPage();
    const session = await context.newCDPSession(page);
    await session.send("Network.enable");
    let received = 0;
    session.on("Network.loadingFinished", ({ encodedDataLength }) => {
      received += encodedDataLength;
    });
    const settle = watchNetwork(page);
    const newest = `run ${runs - 1}`;
    const seed = (round * 1237 + 4000) % runs;
    const began = performance.now();
    await page.goto(`${url}${path(id)}`);
    await page.getByText(newest, { exact: true }).first().waitFor({ timeout: waitMs });
    const firstRow = performance.now() - began;
    // Until nothing is read any more: ours then holds all runs, MLflow's the first 100.
    const settled = (await settle()) - began;
    await session.send("HeapProfiler.collectGarbage");
    const { metrics } = await session.send("Performance.enable").then(() => session.send("Performance.getMetrics"));
    const heap = metrics.find((one) => one.name === "JSHeapUsedSize").value;
    if (values.screenshots) await page.screenshot({ path: join(values.screenshots, `${name}-runs.png`) });
    const asked = performance.now();
    await filter(page, `params.seed = '${seed}'`);
    await page.getByText(`run ${seed}`, { exact: true }).first().waitFor({ timeout: waitMs });
    await page.getByText(newest, { exact: true }).first().waitFor({ state: "detached", timeout: waitMs });
    const filtered = performance.now() - asked;
    if (values.screenshots) await page.screenshot({ path: join(values.screenshots, `${name}-filtered.png`) });
    const drawn = await timeCurve(context, {
      url,
      ...curve,
      picture: values.screenshots && join(values.screenshots, `${name}-curve.png`),
    });
    return {
      first_row_ms: firstRow,
      settled_ms: settled,
      filtered_ms: filtered,
      curve_ms: drawn,
      heap_mib: heap / 2 ** 20,
      received_kb: received / 1000,
    };
  } finally {
    await context.close();
  }
}

/** What waits until nothing was on its way for `quietMs` and says since when, but for workers: MLflow's for telemetry never ends to load. */
function watchNetwork(page) {
  const open = new Set();
  let last = performance.now();
  page.on("request", (request) => {
    if (!request.url().includes(".worker.")) open.add(request);
  });
  for (const event of ["requestfinished", "requestfailed"])
    page.on(event, (request) => {
      open.delete(request);
      last = performance.now();
    });
  return async () => {
    const until = performance.now() + waitMs;
    while (open.size > 0 || performance.now() - last < quietMs) {
      if (performance.now() > until) throw new Error(`still on their way: ${[...open].map((one) => one.url())}`);
      await new Promise((done) => setTimeout(done, 20));
    }
    return last;
  };
}

/** Milliseconds until the curve of a run is drawn, in a page of its own. */
async function timeCurve(context, { url, curvePath, curveRequest, curve, curveExperiment, curveRun, picture }) {
  const page = await context.newPage();
  const answered = page.waitForResponse((response) => curveRequest.test(response.url()), { timeout: waitMs });
  const began = performance.now();
  await page.goto(`${url}${curvePath(curveExperiment, curveRun)}`);
  await answered.then((response) => response.finished());
  await page.locator(curve).first().waitFor({ timeout: waitMs });
  // Two frames: the one that draws it is over.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const took = performance.now() - began;
  if (picture) await page.screenshot({ path: picture });
  return took;
}

function summary(visits) {
  const of = (key) => visits.map((visited) => visited[key]);
  return Object.fromEntries(
    Object.keys(visits[0]).map((key) => [
      key,
      { median: median(of(key)), quartiles: [quantile(of(key), 0.25), quantile(of(key), 0.75)] },
    ]),
  );
}

function show({ median: middle, quartiles: [low, high] }) {
  return `${middle.toFixed(0)} (${low.toFixed(0)} to ${high.toFixed(0)})`;
}
