// The tracking page beside MLflow's, in headless Chromium, on stores of the same 10,000 runs: what a visitor waits for and
// what the page costs. Each visit is a new browser profile; the servers take turns and the one that waits is halted.
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { wholeNumber } from "../harness/peer-python.mjs";
import { median, quantile } from "../harness/statistics.mjs";
import { fillRuns, openApi } from "./load.mjs";
import { inTurn, peerOptions, startOurs, startPeer } from "./servers.mjs";

const waitMs = 180_000;

export const options = {
  ...peerOptions,
  runs: { type: "string", default: "10000", description: "runs of the experiment" },
  rounds: { type: "string", default: "5", description: "visits of each page" },
  screenshots: { type: "string", description: "folder for a picture of each page as it was measured" },
};

/** What a visitor waits for; `wanted` is the name of the one run that a filter leaves. */
const pages = {
  ours: {
    path: (id) => `/#/experiments/${id}`,
    async filter(page, text) {
      await page.getByRole("combobox", { name: /^Filter/ }).fill(text);
    },
  },
  mlflow: {
    path: (id) => `/#/experiments/${id}/runs`,
    async filter(page, text) {
      const box = page.getByPlaceholder(/metrics\.rmse/);
      await box.fill(text);
      await box.press("Enter");
    },
  },
};

export async function run(values, print) {
  const [runs, rounds] = [wholeNumber("runs", values.runs), wholeNumber("rounds", values.rounds)];
  const executablePath = [process.env.CHROMIUM_PATH, "/usr/bin/chromium", "/usr/bin/google-chrome"].find(
    (path) => path !== undefined && existsSync(path),
  );
  if (executablePath === undefined) throw new Error("needs Chromium: install it or set CHROMIUM_PATH");
  const load = loadavg()[0];
  print(`${cpus()[0]?.model}, ${cpus().length} cores, load ${load.toFixed(2)} at the start`);
  if (load > 0.5) print("warning: the machine is not idle; figures of a busy machine say little");
  const root = await mkdtemp(join(tmpdir(), "bench-tracking-page-"));
  const servers = [];
  let browser;
  try {
    servers.push(await startOurs(root), await startPeer(values, root));
    print(`the peer: mlflow ${servers[1].version}`);
    const ids = [];
    for (const { url } of servers) ids.push(await fillRuns(openApi(url), runs));
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--enable-precise-memory-info"] });
    const visits = servers.map(() => []);
    for (const server of servers) server.pause();
    for (let round = 0; round < rounds; round++)
      await inTurn(servers, round, async (server, index) => {
        server.resume();
        const name = index === 0 ? "ours" : "mlflow";
        visits[index].push(
          await visit(browser, { ...pages[name], url: server.url, id: ids[index], runs, round, name, values }),
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
    await rm(root, { recursive: true, force: true });
  }
}

async function visit(browser, { url, path, filter, id, runs, round, name, values }) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  try {
    const page = await context.newPage();
    const session = await context.newCDPSession(page);
    await session.send("Network.enable");
    let received = 0;
    session.on("Network.loadingFinished", ({ encodedDataLength }) => {
      received += encodedDataLength;
    });
    const newest = `run ${runs - 1}`;
    const seed = (round * 1237 + 4000) % runs;
    const began = performance.now();
    await page.goto(`${url}${path(id)}`);
    await page.getByText(newest, { exact: true }).first().waitFor({ timeout: waitMs });
    const firstRow = performance.now() - began;
    // Until nothing is read any more: ours then holds all runs, MLflow's the first 100.
    await page.waitForLoadState("networkidle", { timeout: waitMs });
    const settled = performance.now() - began - 500;
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
    return {
      first_row_ms: firstRow,
      settled_ms: settled,
      filtered_ms: filtered,
      heap_mib: heap / 2 ** 20,
      received_kb: received / 1000,
    };
  } finally {
    await context.close();
  }
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
