// The tracking server beside `mlflow server`, both on SQLite: batches logged, runs found, a long history read, memory.
// Requests come from this process over loopback, one after the other, as a training or a notebook sends them.
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { wholeNumber } from "../harness/peer-python.mjs";
import { geometricMean, median, quantile } from "../harness/statistics.mjs";
import { fillRuns, logBatches, openApi, readHistory, searches, searchOnce } from "./load.mjs";
import { memoryOf } from "./memory.mjs";
import { inTurn, peerOptions, startOurs, startPeer } from "./servers.mjs";

export const options = {
  ...peerOptions,
  runs: { type: "string", default: "10000", description: "runs to search in" },
  points: { type: "string", default: "1000000", description: "points of the history, 1,000 a batch" },
  rounds: { type: "string", default: "5", description: "turns of each server for each measure" },
};

export async function run(values, print) {
  const rounds = wholeNumber("rounds", values.rounds);
  const runs = wholeNumber("runs", values.runs);
  const batches = Math.ceil(wholeNumber("points", values.points) / 1000);
  const load = loadavg()[0];
  print(`${cpus()[0]?.model}, ${cpus().length} cores, load ${load.toFixed(2)} at the start`);
  if (load > 0.5) print("warning: the machine is not idle; figures of a busy machine say little");
  const root = await mkdtemp(join(tmpdir(), "bench-tracking-"));
  const servers = [];
  try {
    servers.push(await startOurs(root));
    const peer = await startPeer(values, root);
    servers.push(peer);
    const apis = servers.map(({ url }) => openApi(url));
    print(`the peer: mlflow ${peer.version}, ${values.workers ?? "its default number of"} workers`);
    const idle = servers.map(({ pid }) => memoryOf(pid));

    const logged = await compareLogging(apis, { batches, rounds }, print);
    const history = await compareHistory(apis, { ...logged, points: batches * 1000, rounds }, print);
    const found = await compareSearches(apis, { runs, rounds }, print);
    const memory = servers.map(({ pid }, index) => ({ name: index === 0 ? "ours" : "peer", ...memoryOf(pid) }));
    for (const { name, rss_mib: rss, pss_mib: pss, processes } of memory)
      print(`memory of ${name}: ${rss} MiB resident, ${pss} MiB with shared pages shared out, ${processes} processes`);

    const ratios = {
      log_batch: logged.ratio,
      history: history.ratio,
      search: geometricMean(found.map(({ ratio }) => ratio)),
    };
    const ratio = geometricMean(Object.values(ratios));
    const lowest = Math.min(logged.ratio, history.ratio, ...found.map((search) => search.ratio));
    print(`ratio over log-batch, history and search, geometric mean: ${ratio.toFixed(2)}; lowest ${lowest.toFixed(2)}`);
    return {
      ...{ ratio, ratio_is: "geometric mean of log_batch, history and search", lowest, ratios, load },
      ...{ cpu: cpus()[0]?.model, cores: cpus().length, mlflow: peer.version, runs, points: batches * 1000 },
      log_batch: logged.figures,
      history: history.figures,
      searches: found,
      memory: { ours: memory[0], peer: memory[1], ours_idle: idle[0], peer_idle: idle[1] },
    };
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    await rm(root, { recursive: true, force: true });
  }
}

/** The batches of both are one history in the end: the points of one metric of one run. */
async function compareLogging(apis, { batches, rounds }, print) {
  const runIds = await Promise.all(apis.map((api) => api.createRun("0", "history")));
  const perTurn = Math.ceil(batches / rounds);
  const rates = apis.map(() => []);
  for (let round = 0; round < rounds; round++) {
    const first = round * perTurn;
    const count = Math.min(perTurn, batches - first);
    if (count <= 0) break;
    await inTurn(apis, round, async (api, index) => {
      rates[index].push((count * 1000) / (await logBatches(api, runIds[index], { first, count })));
    });
  }
  const result = compareRates(rates);
  print(`log-batch of 1,000 metrics: ${show(result, "metrics/s")}`);
  return { runIds, ratio: result.ratio, figures: result };
}

async function compareHistory(apis, { runIds, points, rounds }, print) {
  const rates = apis.map(() => []);
  const sums = [];
  for (let round = 0; round < rounds; round++)
    await inTurn(apis, round, async (api, index) => {
      const { seconds, count, sum } = await readHistory(api, runIds[index]);
      if (count !== points) throw new Error(`a history of ${count} points, not ${points}`);
      sums.push(sum);
      rates[index].push(count / seconds);
    });
  if (new Set(sums).size !== 1) throw new Error(`the histories differ: ${[...new Set(sums)].join(", ")}`);
  const result = compareRates(rates);
  print(`history of ${points} points, 25,000 a page: ${show(result, "points/s")}`);
  return { ratio: result.ratio, figures: result };
}

async function compareSearches(apis, { runs, rounds }, print) {
  const experimentIds = [];
  for (const api of apis) {
    const began = performance.now();
    experimentIds.push(await fillRuns(api, runs));
    print(`${runs} runs written in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  }
  const found = [];
  for (const [name, body] of Object.entries(searches)) {
    const rates = apis.map(() => []);
    const answers = apis.map(() => undefined);
    for (let round = 0; round < rounds; round++)
      await inTurn(apis, round, async (api, index) => {
        const { seconds, names } = await searchOnce(api, { experiment_ids: [experimentIds[index]], ...body });
        answers[index] = names;
        rates[index].push(1 / seconds);
      });
    if (JSON.stringify(answers[0]) !== JSON.stringify(answers[1]))
      throw new Error(`search ${name}: other runs, ${answers.map((names) => names.length).join(" and ")} of them`);
    const result = { name, runs: answers[0].length, ...compareRates(rates) };
    print(`search in ${runs} runs, ${name} (${answers[0].length} found): ${show(result, "searches/s")}`);
    found.push(result);
  }
  return found;
}

function compareRates([ours, peer]) {
  const rounds = ours.map((rate, index) => rate / peer[index]);
  return {
    ours_per_second: median(ours),
    peer_per_second: median(peer),
    ratio: median(ours) / median(peer),
    ratio_quartiles: [quantile(rounds, 0.25), quantile(rounds, 0.75)],
  };
}

function show({ ours_per_second: ours, peer_per_second: peer, ratio, ratio_quartiles: [low, high] }, unit) {
  const digits = ours > 1000 ? 0 : 2;
  const spread = `(quartiles ${low.toFixed(2)} to ${high.toFixed(2)})`;
  return `ours ${ours.toFixed(digits)}, peer ${peer.toFixed(digits)} ${unit}, ratio ${ratio.toFixed(2)} ${spread}`;
}
