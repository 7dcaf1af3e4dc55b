import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Contestant } from "../harness/contestant.mjs";
import { interleave } from "../harness/interleave.mjs";
import { describeMachine } from "../harness/machine.mjs";
import { peerPython, wholeNumber } from "../harness/peer-python.mjs";
import { median, summarise } from "../harness/statistics.mjs";

const network = "mobilenet_v3_large";
/** What is timed: the network's forward pass, then the two heads on its features. */
const stages = ["features", "classifier_only", "RCBAM"];

export const options = {
  quick: { type: "boolean", description: "few rounds: for trying out, not for figures" },
  stages: { type: "string", default: stages.join(","), description: "which" },
  batch: { type: "string", default: "64", description: "images in a step" },
  size: { type: "string", default: "224", description: "pixels that the network sees" },
  images: { type: "string", default: "50000", description: "of an epoch, to which the steps are extended" },
  channels: { type: "string", description: "inside RCBAM (as many as the features have)" },
  rows: { type: "string", default: "512", description: "images whose features the heads take in turn" },
  rounds: { type: "string", description: "turns of each contestant (7, with --quick 3)" },
  threads: { type: "string", default: "2", description: "on both sides" },
  compile: { type: "boolean", description: "PyTorch with torch.compile too (takes longer, needs a C++ compiler)" },
  python: { type: "string", description: "a Python with torch; else BENCH_PYTHON, else python3" },
};

/** Rounds end when a stage has taken this long. */
const BUDGET_MS = 80_000;
/** A turn of a short step has so many. */
const SHORT_STEPS = 30;

const here = (file) => fileURLToPath(new URL(file, import.meta.url));

/** Times every stage; `ratio` of the result is that of the feature extraction where it is among them. */
export async function run(values, print) {
  const settings = {
    stages: chosenStages(values.stages),
    batch: wholeNumber("batch", values.batch),
    size: wholeNumber("size", values.size),
    images: wholeNumber("images", values.images),
    channels: values.channels === undefined ? undefined : wholeNumber("channels", values.channels),
    rows: wholeNumber("rows", values.rows),
    threads: wholeNumber("threads", values.threads),
    rounds: wholeNumber("rounds", values.rounds ?? (values.quick ? "3" : "7")),
    compile: values.compile ?? false,
    quick: values.quick ?? false,
  };
  if (settings.rows < settings.batch)
    throw new Error(`--rows: ${settings.rows} do not fill a batch of ${settings.batch}`);
  const { python, versions } = peerPython(values.python);
  const hardware = describeMachine(versions, print);
  print(
    `${network} at ${settings.size}x${settings.size}, batch ${settings.batch}, ${settings.threads} threads, float32`,
  );
  const cases = [];
  for (const stage of settings.stages) {
    console.error(`timing ${stage} …`);
    const result = await measure(stage, { ...settings, python });
    print(render(result, settings));
    cases.push(result);
  }
  return { quick: settings.quick, hardware, versions, settings, cases, ratio: cases[0].ratio };
}

async function measure(stage, { batch, size, images, channels, rows, threads, rounds, compile, quick, python }) {
  const folder = await mkdtemp(join(tmpdir(), "features-"));
  const ours = { stage, network, batch, size, threads, channels, rows, folder };
  const shared = ["--stage", stage, "--network", network, "--batch", `${batch}`, "--size", `${size}`];
  const inner = channels === undefined ? [] : ["--channels", `${channels}`];
  const peer = (layout, compiled) =>
    new Contestant(
      `PyTorch ${layout}${compiled ? " compiled" : ""}`,
      python,
      [
        here("peer.py"),
        ...[...shared, "--rows", `${rows}`, ...inner, "--threads", `${threads}`, "--layout", layout],
        ...(compiled ? ["--compile"] : []),
      ],
      { OMP_NUM_THREADS: `${threads}` },
    );
  // Pooled features are vectors: they have no layout.
  const layouts = stage === "classifier_only" ? ["nchw"] : ["nchw", "channels_last"];
  const starts = [
    () => new Contestant("ours", process.execPath, [here("ours.mjs"), JSON.stringify(ours)]),
    ...(compile ? [false, true] : [false]).flatMap((compiled) => layouts.map((layout) => () => peer(layout, compiled))),
  ];
  const contestants = [];
  try {
    const hellos = [];
    // One after the other: each warms up alone.
    for (const start of starts) {
      contestants.push(start());
      hellos.push(await contestants.at(-1).ready());
    }
    const [{ parameters }] = hellos;
    const other = hellos.find((hello) => hello.parameters !== parameters);
    if (other !== undefined) throw new Error(`${stage}: ${parameters} parameters here, ${other.parameters} in PyTorch`);
    const steps = stage === "classifier_only" ? SHORT_STEPS : quick ? 1 : 2;
    const { times, idleShare } = await interleave(contestants, { rounds, steps, budgetMs: BUDGET_MS });
    const variants = contestants.map((contestant, i) => {
      const ms = summarise(times[i].flat());
      const imagesPerSecond = (1000 * batch) / ms.median;
      return {
        name: contestant.name,
        ms,
        imagesPerSecond,
        epochSeconds: images / imagesPerSecond,
        peakMemory: contestant.peakMemory(),
      };
    });
    const best = variants.slice(1).reduce((a, b) => (b.ms.median < a.ms.median ? b : a));
    const byRound = times[0].map((ms, round) => median(times[variants.indexOf(best)][round]) / median(ms));
    return {
      stage,
      parameters,
      rounds: byRound.length,
      steps,
      variants,
      best: best.name,
      ratio: best.ms.median / variants[0].ms.median,
      ratioByRound: summarise(byRound),
      idleShare,
    };
  } finally {
    await Promise.all(contestants.map((contestant) => contestant.close()));
    await rm(folder, { recursive: true, force: true });
  }
}

const titles = {
  features: "features of the frozen network, from bytes of 32x32",
  classifier_only: "a training step of classifier_only on cached features",
  RCBAM: "a training step of RCBAM on cached features",
};

const column = (text, width) => String(text).padStart(width);

function render({ stage, parameters, rounds, steps, variants, ratio, ratioByRound }, { images }) {
  const heads = ["median ms", "quartiles", "img/s", "s/epoch", "peak MB"];
  const lines = [
    "",
    `${titles[stage]}: ${parameters} parameters, ${rounds} rounds of ${steps} steps; an epoch has ${images} images`,
    `  ${"".padEnd(30)}${heads.map((title, i) => column(title, i === 1 ? 18 : 11)).join("")}`,
  ];
  for (const { name, ms, imagesPerSecond, epochSeconds, peakMemory } of variants) {
    const cells = [ms.median.toFixed(2), `${ms.lowerQuartile.toFixed(2)}-${ms.upperQuartile.toFixed(2)}`];
    cells.push(imagesPerSecond.toFixed(0), epochSeconds.toFixed(1));
    cells.push(peakMemory === null ? "?" : (peakMemory / 1e6).toFixed(0));
    lines.push(`  ${name.padEnd(30)}${cells.map((cell, i) => column(cell, i === 1 ? 18 : 11)).join("")}`);
  }
  const { lowerQuartile, upperQuartile } = ratioByRound;
  lines.push(
    `  ratio ${ratio.toFixed(3)} (best PyTorch median / our median; by round, quartiles ${lowerQuartile.toFixed(3)}-${upperQuartile.toFixed(3)})`,
  );
  return lines.join("\n");
}

function chosenStages(text) {
  const chosen = text.split(",");
  const unknown = chosen.find((name) => !stages.includes(name));
  if (unknown !== undefined) throw new Error(`--stages: no ${unknown}; there are ${stages.join(", ")}`);
  return stages.filter((name) => chosen.includes(name));
}
