import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describeMachine } from "../harness/machine.mjs";
import { peerPython, wholeNumber } from "../harness/peer-python.mjs";
import { geometricMean, median } from "../harness/statistics.mjs";

const modes = ["classifier_only", "RCBAM"];

export const options = {
  weights: { type: "string", description: "of torchvision's mobilenet_v2; else the environment's CIFAR_WEIGHTS" },
  source: { type: "string", description: "CIFAR-10, an archive or a folder; else the environment's CIFAR_SOURCE" },
  modes: { type: "string", default: modes.join(","), description: "which" },
  train: { type: "string", default: "2000", description: "training images: the first of CIFAR-10" },
  test: { type: "string", default: "1000", description: "test images: the first of CIFAR-10" },
  size: { type: "string", default: "128", description: "pixels that the network sees" },
  epochs: { type: "string", default: "10", description: "of the head" },
  channels: { type: "string", default: "256", description: "inside RCBAM" },
  seed: { type: "string", default: "1", description: "of both sides" },
  threads: { type: "string", default: "2", description: "on both sides" },
  python: { type: "string", description: "a Python with torch; else BENCH_PYTHON, else python3" },
};

/** The same on both sides; the learning rate falls along a cosine, biases and norms do not decay. */
const recipe = { batch: 64, learningRate: 1e-3, weightDecay: 1e-2, dropout: 0.2, labelSmoothing: 0.1 };

const here = (file) => fileURLToPath(new URL(file, import.meta.url));

/** Trains each mode here and in PyTorch; `ratio` is the geometric mean of their times' ratios. */
export async function run(values, print) {
  const weights = values.weights ?? process.env.CIFAR_WEIGHTS;
  const source = values.source ?? process.env.CIFAR_SOURCE;
  if (weights === undefined) throw new Error("no weights: give --weights PATH or set CIFAR_WEIGHTS");
  if (source === undefined) throw new Error("no images: give --source PATH or set CIFAR_SOURCE");
  const settings = Object.fromEntries(
    ["train", "test", "size", "epochs", "channels", "seed", "threads"].map((name) => [
      name,
      wholeNumber(name, values[name]),
    ]),
  );
  const chosen = chosenModes(values.modes);
  const { python, versions } = peerPython(values.python);
  const hardware = describeMachine(versions, print);
  const { train, test, size, epochs, channels } = settings;
  print(`mobilenet_v2 at ${size}x${size}: ${train} training and ${test} test images, ${epochs} epochs of the head`);
  print(`AdamW ${JSON.stringify(recipe)}, cosine; ${channels} channels inside RCBAM`);
  const folder = await mkdtemp(join(tmpdir(), "transfer-"));
  try {
    await writeImages(folder, { source, train, test });
    const cases = [];
    for (const mode of chosen) {
      const request = { mode, weights, recipe, ...settings };
      const [ours, theirs] = await measure(mode, request, { folder, python });
      const figures = { mode, ours, theirs, ratio: total(theirs) / total(ours) };
      print(render(figures, settings));
      cases.push(figures);
    }
    const ratio = geometricMean(cases.map((figures) => figures.ratio));
    return { hardware, versions, settings, recipe, cases, ratio };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const total = ({ extraction, head }) => extraction + head;

/** One after the other, each alone. */
async function measure(mode, request, { folder, python }) {
  console.error(`${mode}: ours …`);
  const ours = await answerOf(process.execPath, [here("ours.mjs"), JSON.stringify({ ...request, folder })]);
  console.error(`${mode}: PyTorch …`);
  const theirs = await answerOf(python, [here("peer.py"), JSON.stringify({ ...request, folder })], {
    OMP_NUM_THREADS: `${request.threads}`,
  });
  if (ours.parameters !== theirs.parameters) {
    throw new Error(`${mode}: ${ours.parameters} parameters here, ${theirs.parameters} in PyTorch`);
  }
  return [ours, theirs];
}

/** The images of both sides, as bytes in files. */
async function writeImages(folder, { source, train, test }) {
  const { loadDataset } = await import("../../dist/data/load.js");
  const dataset = await loadDataset({ name: "cifar10", source, dataDir: join(folder, "data"), limit: train });
  await mkdir(join(folder, "features"));
  for (const [name, count] of Object.entries({ train, test })) {
    const { images, labels, count: there } = dataset[name];
    if (count > there) throw new Error(`--${name}: there are ${there} images`);
    await writeFile(join(folder, `${name}-images.bin`), images.subarray(0, count * 3 * 32 * 32));
    await writeFile(join(folder, `${name}-labels.bin`), Uint8Array.from(labels.subarray(0, count)));
  }
}

function answerOf(command, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let err = "";
    child.stdout.on("data", (chunk) => {
      out += chunk;
    });
    child.stderr.on("data", (chunk) => {
      err = `${err}${chunk}`.slice(-4000);
    });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(JSON.parse(out.trim().split("\n").at(-1)));
      else reject(new Error(`${command} ended with code ${code}\n${err.trim()}`));
    });
  });
}

function render({ mode, ours, theirs, ratio }, { train, test }) {
  const lines = ["", `${mode}: ${ours.parameters} trained parameters`];
  for (const [name, { accuracy, extraction, head, perEpoch }] of Object.entries({ ours, PyTorch: theirs })) {
    const epoch = median(perEpoch.map(({ seconds }) => seconds));
    const whole = ((50_000 + 10_000) / (train + test)) * extraction + (50_000 / train) * head;
    lines.push(
      `  ${name.padEnd(9)} test accuracy ${(100 * accuracy).toFixed(1)} %, features ${extraction.toFixed(1)} s, head ` +
        `${head.toFixed(1)} s (${epoch.toFixed(2)} s an epoch, last loss ${perEpoch.at(-1).loss.toFixed(3)}); all of ` +
        `CIFAR-10 would take ${(whole / 60).toFixed(0)} minutes`,
    );
  }
  lines.push(`  ratio ${ratio.toFixed(2)} (PyTorch's time over ours; above 1: we are faster)`);
  return lines.join("\n");
}

function chosenModes(text) {
  const chosen = text.split(",");
  const unknown = chosen.find((name) => !modes.includes(name));
  if (unknown !== undefined) throw new Error(`--modes: no ${unknown}; there are ${modes.join(", ")}`);
  return modes.filter((name) => chosen.includes(name));
}
