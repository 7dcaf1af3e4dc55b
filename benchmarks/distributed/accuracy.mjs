import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const entry = fileURLToPath(new URL("../../bin/cifar.mjs", import.meta.url));

const two = [
  "distributed.use_distributed=true",
  "distributed.world_size=2",
  "distributed.init_method=tcp://localhost:0",
];

/** Ways to train the same network on the same images. */
export const ways = [
  { name: "1 process", settings: ["training.threads=2"] },
  { name: "2 processes, every gradient", settings: [...two, "training.threads=1"] },
  { name: "the same, float16", settings: [...two, "training.threads=1", "distributed.compression=float16"] },
  ...[4, 16].map((every) => ({
    name: `the same, exchange each ${every} steps`,
    settings: [...two, "training.threads=1", `distributed.local_steps=${every}`],
  })),
];

/** Accuracy on the validation images after the last epoch, and seconds, for each way and seed. CIFAR_SOURCE names the images. */
export function measureAccuracy({ model, images, epochs, seeds, print }) {
  print(`\n${model} on the first ${images} images of CIFAR-10, ${epochs} epochs: validation accuracy by seed, seconds`);
  return ways.map(({ name, settings }) => {
    const runs = Array.from({ length: seeds }, (_, seed) =>
      train([
        ...[`model.name=${model}`, "model.width=0.25", `dataset.limit=${images}`, "dataset.validation_fraction=0.2"],
        ...[`training.num_epochs=${epochs}`, "training.batch_size=128", "training.learning_rate=0.1"],
        ...[`training.seed=${seed + 1}`, "training.early_stopping=false", "dataset.num_workers=0"],
        `dataset.data_dir=${join(tmpdir(), "bench-tuning-data")}`,
        ...settings,
      ]),
    );
    const list = runs.map(({ accuracy }) => `${(100 * accuracy).toFixed(1)} %`).join(", ");
    print(`  ${name.padEnd(34)} ${list}   ${runs.map(({ seconds }) => seconds.toFixed(0)).join(", ")} s`);
    return { name, runs };
  });
}

function train(settings) {
  const cwd = mkdtempSync(join(tmpdir(), "cifar-bench-"));
  try {
    const args = [entry, "train", "--json", ...settings.flatMap((setting) => ["--set", setting])];
    const began = performance.now();
    const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd, encoding: "utf8", maxBuffer: 1 << 28 });
    if (status !== 0) throw new Error(`cifar train ended with ${status}: ${stderr}`);
    const told = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const last = told.filter(({ type, validation }) => type === "epoch" && validation !== undefined).at(-1);
    return { accuracy: last.validation.accuracy, seconds: (performance.now() - began) / 1000 };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}
