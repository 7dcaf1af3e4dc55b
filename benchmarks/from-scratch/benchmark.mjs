import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { peerPython, wholeNumber } from "../harness/peer-python.mjs";

const networks = ["mobilenet", "efficientnet", "regnet", "densenet"];
const variants = {
  mobilenet: "mobilenet_v3_large",
  efficientnet: "efficientnet_b0",
  regnet: "regnet_y_400mf",
  densenet: "densenet121",
};

export const options = {
  networks: { type: "string", default: networks.join(","), description: "which families" },
  source: { type: "string", description: "CIFAR-10 in its binary layout: archive or folder; else CIFAR_SOURCE" },
  images: { type: "string", default: "10000", description: "training images, the first ones" },
  epochs: { type: "string", default: "4", description: "on both sides" },
  threads: { type: "string", default: "2", description: "on both sides" },
  python: { type: "string", description: "a Python with torch; else BENCH_PYTHON, else python3" },
};

const here = (file) => fileURLToPath(new URL(file, import.meta.url));
/** Of one class in ten, as the product holds them back for validation; PyTorch trains on as many images less. */
const VALIDATION = 0.05;
const BATCH = 64;

/** Trains the default network of each family from scratch, by the command line and by the same recipe in PyTorch. */
export async function run(values, print) {
  const source = values.source ?? process.env.CIFAR_SOURCE;
  if (source === undefined) throw new Error("--source: give the path of CIFAR-10, or set CIFAR_SOURCE");
  const { python, versions } = peerPython(values.python);
  const settings = {
    source,
    python,
    images: wholeNumber("images", values.images),
    epochs: wholeNumber("epochs", values.epochs),
    threads: wholeNumber("threads", values.threads),
  };
  const chosen = values.networks.split(",");
  const unknown = chosen.find((name) => !networks.includes(name));
  if (unknown !== undefined) throw new Error(`--networks: no ${unknown}; there are ${networks.join(", ")}`);
  print(
    `${cpus()[0]?.model ?? "unknown"}, torch ${versions.torch}; ${settings.images} training images (5 % held back),`,
  );
  print(`${settings.epochs} epochs, batch ${BATCH}; accuracy on the 10,000 test images; seconds of training alone`);
  const cases = [];
  for (const network of chosen) {
    console.error(`training ${network} …`);
    const ours = await train(network, settings);
    const theirs = await trainPeer(network, ours.rate, settings);
    cases.push({ network: variants[network], rate: ours.rate, ours: ours.rows, theirs });
    print(`\n${variants[network]}, learning rate ${ours.rate}`);
    print("  epoch   our loss   our validation   PyTorch loss   PyTorch test");
    for (const [i, row] of ours.rows.entries()) {
      const cells = [
        row.loss.toFixed(3),
        percent(row.validation),
        theirs[i].loss.toFixed(3),
        percent(theirs[i].accuracy),
      ];
      print(`  ${String(i + 1).padStart(5)}${[11, 17, 15, 15].map((width, c) => cells[c].padStart(width)).join("")}`);
    }
    const [last, peer] = [ours, theirs.at(-1)];
    print(
      `  test: ${percent(last.accuracy)} in ${last.seconds.toFixed(0)} s; PyTorch ${percent(peer.accuracy)} in ${peer.seconds.toFixed(0)} s`,
    );
    Object.assign(cases.at(-1), { accuracy: ours.accuracy, seconds: ours.seconds });
  }
  return { versions, settings: { ...settings, source: undefined, batch: BATCH }, cases };
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

async function train(network, { source, images, epochs, threads }) {
  const folder = await mkdtemp(join(tmpdir(), "cifar-bench-"));
  const rows = [];
  let [seconds, accuracy, rate] = [0, 0, 0];
  try {
    const set = {
      "dataset.source": source,
      "dataset.limit": images,
      "dataset.validation_fraction": VALIDATION,
      "training.num_epochs": epochs,
      "training.batch_size": BATCH,
      "training.threads": threads,
      "training.early_stopping": false,
    };
    const args = [
      "train",
      "--json",
      "--preset",
      network,
      ...Object.entries(set).flatMap(([key, value]) => ["--set", `${key}=${value}`]),
    ];
    for await (const event of events(process.execPath, [here("../../bin/cifar.mjs"), ...args], folder)) {
      if (event.type === "step") rate = Math.max(rate, event.learningRate);
      if (event.type === "epoch") {
        seconds += event.seconds;
        rows.push({ loss: event.trainLoss, validation: event.validation.accuracy });
      }
      if (event.type === "evaluation") accuracy = event.metrics.accuracy;
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return { rows, seconds, accuracy, rate };
}

async function trainPeer(network, rate, { source, python, images, epochs, threads }) {
  const rows = [];
  const flags = {
    network: variants[network],
    source,
    images: Math.round(images * (1 - VALIDATION)),
    epochs,
    batch: BATCH,
    rate,
    threads,
    seed: 1,
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  for await (const row of events(python, [here("peer.py"), ...args])) rows.push(row);
  return rows;
}

/** The lines of JSON that a program prints. */
async function* events(command, args, cwd) {
  const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  let complaints = "";
  child.stderr.on("data", (chunk) => {
    complaints = `${complaints}${chunk}`.slice(-4000);
  });
  const ended = new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line);
  if ((await ended) !== 0) throw new Error(`${command} failed: ${complaints.trim()}`);
}
