import { cpus, loadavg, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { Contestant } from "../harness/contestant.mjs";
import { interleave } from "../harness/interleave.mjs";
import { peerPython, wholeNumber } from "../harness/peer-python.mjs";
import { geometricMean, quantile, summarise } from "../harness/statistics.mjs";
import { recipes, settings } from "./recipes.mjs";

export const options = {
  quick: { type: "boolean", description: "few rounds: for trying out, not for figures" },
  settings: { type: "string", default: Object.keys(settings).join(","), description: "which" },
  recipes: { type: "string", description: "which, separated by commas (all)" },
  threads: { type: "string", default: "2", description: "on both sides" },
  rounds: { type: "string", description: "turns of each contestant (7, with --quick 3)" },
  python: { type: "string", description: "a Python with torch; else BENCH_PYTHON, else python3" },
};

const here = (file) => fileURLToPath(new URL(file, import.meta.url));

/** Times every recipe in both settings; `ratio` of the result is the geometric mean over the recipes with a peer. */
export async function run(values, print) {
  const threads = wholeNumber("threads", values.threads);
  const rounds = wholeNumber("rounds", values.rounds ?? (values.quick ? "3" : "7"));
  const chosen = known("recipes", values.recipes?.split(",") ?? Object.keys(recipes), recipes);
  const where = known("settings", values.settings.split(","), settings);
  const { python, versions } = peerPython(values.python);
  const hardware = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, memory: totalmem(), load: loadavg()[0] };
  print(`${hardware.cpu}, ${hardware.cores} cores, load ${hardware.load.toFixed(2)} at the start`);
  if (hardware.load > 0.5) print("warning: the machine is not idle; figures of a busy machine say little");
  print(`node ${process.versions.node}, torch ${versions.torch}, torchvision ${versions.torchvision}`);
  print(`${threads} threads; interleaved: ${rounds} rounds; medians; images of 32x32`);
  const results = [];
  for (const setting of where) results.push(await measure({ setting, chosen, threads, rounds, python }, print));
  const ratios = results.flatMap(({ cases }) => cases.flatMap(({ ratio }) => (ratio === null ? [] : [ratio])));
  const ratio = ratios.length === 0 ? null : geometricMean(ratios);
  if (ratio !== null) print(`\nratio over all: ${ratio.toFixed(3)} (geometric mean; above 1: we are faster)`);
  return { quick: values.quick ?? false, hardware, versions, rounds, threads, results, ratio };
}

async function measure({ setting, chosen, threads, rounds, python }, print) {
  const { size, batch, limit, what } = settings[setting];
  const env = { OMP_NUM_THREADS: `${threads}` };
  const numbers = ["--size", `${size}`, "--batch", `${batch}`, "--threads", `${threads}`];
  const ours = new Contestant("ours", process.execPath, [here("ours.mjs"), JSON.stringify({ setting, threads })]);
  const peer = new Contestant("torchvision", python, [here("peer.py"), ...numbers], env);
  const turn = (contestant, question) => ({
    name: contestant.name,
    // Only one process computes at a time, so that none of the waiting ones has to be watched.
    cpuSeconds: () => null,
    ask: ({ steps }) => contestant.ask({ steps, ...question }),
  });
  const timed = async (turns, steps) => {
    const { times } = await interleave(turns, { rounds, steps, budgetMs: 60_000 });
    return times.map((each) => summarise(each.flat()));
  };
  try {
    await ours.ready();
    await peer.ready();
    const question = (recipe, pass) => turn(ours, { recipe, pass });
    const heavy = chosen.includes("heavy");
    const [pass, passHeavy] = await timed(
      [question(null, true), ...(heavy ? [question("heavy", true)] : [])],
      setting === "train" ? 2 : 3,
    );
    print(`\n${what}, batch ${batch}: ${pass.median.toFixed(1)} ms`);
    if (passHeavy !== undefined) {
      const more = passHeavy.median - pass.median;
      print(`with the heavy recipe in it: ${passHeavy.median.toFixed(1)} ms (${percent(more / pass.median)} more)`);
    }
    print(
      `  ${"".padEnd(28)}${["ours ms", "drawing", "added", "share", "limit", "peer ms", "ratio"].map((title) => title.padStart(10)).join("")}`,
    );
    const cases = [];
    for (const recipe of chosen) {
      const { peer: named } = recipes[recipe];
      const turns = [question(recipe, false), question(null, false)];
      if (named !== undefined) turns.push(turn(peer, { recipe: named }), turn(peer, { recipe: "plain" }));
      const [own, plain, other] = await timed(turns, 3);
      const { host } = await ours.ask({ steps: 5, recipe, pass: false });
      // The frozen pass counts the resampling, which is needed without augmentation too.
      const added = setting === "train" ? own.median - plain.median : own.median;
      const base = setting === "train" ? pass.median : pass.median - plain.median;
      const result = {
        ...{
          recipe,
          ms: own,
          plainMs: plain,
          drawingMs: quantile(host, 0.5),
          addedMs: added,
          share: added / base,
          limit,
        },
        peerMs: other ?? null,
        ratio: other === undefined ? null : other.median / own.median,
      };
      cases.push(result);
      print(row(result));
    }
    return { setting, batch, size, pass, passHeavy: passHeavy ?? null, cases };
  } finally {
    await Promise.all([ours.close(), peer.close()]);
  }
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function row({ recipe, ms, drawingMs, addedMs, share, limit, peerMs, ratio }) {
  const cells = [
    ms.median.toFixed(2),
    drawingMs.toFixed(2),
    addedMs.toFixed(2),
    percent(share),
    share < limit ? "below" : "ABOVE",
    peerMs === null ? "-" : peerMs.median.toFixed(2),
    ratio === null ? "-" : ratio.toFixed(2),
  ];
  return `  ${recipe.padEnd(28)}${cells.map((cell) => cell.padStart(10)).join("")}`;
}

function known(option, names, table) {
  const unknown = names.find((name) => !Object.hasOwn(table, name));
  if (unknown !== undefined) throw new Error(`--${option}: no ${unknown}; there are ${Object.keys(table).join(", ")}`);
  return names;
}
