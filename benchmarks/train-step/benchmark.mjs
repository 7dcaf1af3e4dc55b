import { cpus, loadavg, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { Contestant } from "../harness/contestant.mjs";
import { interleave } from "../harness/interleave.mjs";
import { peerPython, wholeNumber } from "../harness/peer-python.mjs";
import { geometricMean, median, summarise } from "../harness/statistics.mjs";
import { profileStep } from "./profile.mjs";
import { renderCase } from "./report.mjs";

const engine = ["resnet9", "mobilenet_v2"];
/** What the names of the families stand for. */
const families = ["mobilenet_v3_large", "efficientnet_b0", "regnet_y_400mf", "densenet121"];
const networks = [...engine, ...families];

export const options = {
  quick: { type: "boolean", description: "few rounds: for trying out, not for figures" },
  networks: { type: "string", default: engine.join(","), description: "which, or families for their defaults" },
  batch: { type: "string", default: "64,128", description: "images in a step" },
  threads: { type: "string", default: "2", description: "on both sides" },
  rounds: { type: "string", description: "turns of each contestant (7, with --quick 3)" },
  steps: { type: "string", description: "steps in a turn (3, with --quick 1)" },
  compile: { type: "boolean", description: "PyTorch with torch.compile too (takes longer, needs a C++ compiler)" },
  "no-profile": { type: "boolean", description: "without our operators' times" },
  python: { type: "string", description: "a Python with torch; else BENCH_PYTHON, else python3" },
};

/** Rounds end when a network and batch size has taken this long for its timing. */
const BUDGET_MS = 80_000;

const here = (file) => fileURLToPath(new URL(file, import.meta.url));

/** Times every network and batch size; `ratio` of the result is the geometric mean of theirs. */
export async function run(values, print) {
  const settings = {
    networks: chosenNetworks(values.networks),
    batches: values.batch.split(",").map((text) => wholeNumber("batch", text)),
    threads: wholeNumber("threads", values.threads),
    rounds: wholeNumber("rounds", values.rounds ?? (values.quick ? "3" : "7")),
    steps: wholeNumber("steps", values.steps ?? (values.quick ? "1" : "3")),
    compile: values.compile ?? false,
    profile: !values["no-profile"],
  };
  const { python, versions } = peerPython(values.python);
  const hardware = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, memory: totalmem(), load: loadavg()[0] };
  const { threads, rounds, steps } = settings;
  print(`${hardware.cpu}, ${hardware.cores} cores, load ${hardware.load.toFixed(2)} at the start`);
  if (hardware.load > 0.5) print("warning: the machine is not idle; figures of a busy machine say little");
  print(`node ${process.versions.node}, torch ${versions.torch}, torchvision ${versions.torchvision}`);
  print(`one SGD step in float32 with ${threads} threads; interleaved: ${rounds} rounds of ${steps} steps each`);
  print("GFLOP: convolutions and matrix products of the network, forward and backward; the same for both sides");
  const cases = [];
  for (const network of settings.networks) {
    for (const batch of settings.batches) {
      console.error(`timing ${network}, batch ${batch} …`);
      const result = await measure({ network, batch, python, ...settings });
      print(renderCase(result));
      cases.push(result);
    }
  }
  const ratio = geometricMean(cases.map((result) => result.ratio));
  print(`\nratio over all: ${ratio.toFixed(3)} (geometric mean; above 1: we are faster)`);
  return { quick: values.quick ?? false, hardware, versions, settings, cases, ratio };
}

async function measure({ network, batch, threads, rounds, steps, compile, profile, python }) {
  const ours = (profilePrefix) =>
    new Contestant("ours", process.execPath, [
      here("ours.mjs"),
      JSON.stringify({ network, batch, threads, ...(profilePrefix === undefined ? {} : { profilePrefix }) }),
    ]);
  const peer = (layout, compiled) =>
    new Contestant(
      `PyTorch ${layout}${compiled ? " compiled" : ""}`,
      python,
      [
        here("peer.py"),
        ...["--network", network, "--batch", `${batch}`, "--threads", `${threads}`, "--layout", layout],
        ...(compiled ? ["--compile"] : []),
      ],
      { OMP_NUM_THREADS: `${threads}` },
    );
  const starts = [
    () => ours(),
    ...(compile ? [false, true] : [false]).flatMap((compiled) =>
      ["nchw", "channels_last"].map((layout) => () => peer(layout, compiled)),
    ),
  ];
  const contestants = [];
  try {
    const hellos = [];
    // One after the other: each warms up alone.
    for (const start of starts) {
      contestants.push(start());
      hellos.push(await contestants.at(-1).ready());
    }
    const [{ flops, parameters, device }] = hellos;
    const other = hellos.find((hello) => hello.parameters !== parameters);
    if (other !== undefined) {
      throw new Error(`${network} differs: ${parameters} parameters here, ${other.parameters} in PyTorch`);
    }
    const { times, idleShare } = await interleave(contestants, { rounds, steps, budgetMs: BUDGET_MS });
    const variants = contestants.map((contestant, i) => {
      const ms = summarise(times[i].flat());
      return {
        name: contestant.name,
        ms,
        imagesPerSecond: (1000 * batch) / ms.median,
        gflops: flops / 1e6 / ms.median,
        peakMemory: contestant.peakMemory(),
      };
    });
    const best = variants.slice(1).reduce((a, b) => (b.ms.median < a.ms.median ? b : a));
    const byRound = times[0].map((ms, round) => median(times[variants.indexOf(best)][round]) / median(ms));
    // The others end first, so that the profile is taken alone.
    await Promise.all(contestants.splice(0).map((contestant) => contestant.close()));
    return {
      network,
      batch,
      parameters,
      device,
      sgd: hellos[1].sgd,
      rounds: byRound.length,
      gflop: flops / 1e9,
      variants,
      best: best.name,
      ratio: best.ms.median / variants[0].ms.median,
      ratioByRound: summarise(byRound),
      idleShare,
      profile: profile ? await profileStep(ours) : null,
    };
  } finally {
    await Promise.all(contestants.map((contestant) => contestant.close()));
  }
}

function chosenNetworks(text) {
  const chosen = text === "families" ? families : text.split(",");
  const unknown = chosen.find((name) => !networks.includes(name));
  if (unknown !== undefined) throw new Error(`--networks: no ${unknown}; there are ${networks.join(", ")}`);
  return chosen;
}
