// Successive halving with TPE against random search at equal compute: sweeps of a small network on CIFAR-10.
// CIFAR_SOURCE names the images.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const entry = fileURLToPath(new URL("../../bin/cifar.mjs", import.meta.url));
export const options = {
  seeds: { type: "string", default: "2", description: "sweeps of each kind" },
  teraflops: { type: "string", default: "3", description: "compute of each sweep" },
  images: { type: "string", default: "5000", description: "of CIFAR-10, the first ones" },
  strategies: { type: "string", description: "which, separated by commas (all)" },
  keep: { type: "string", description: "a folder for the sweeps' own, which are deleted otherwise" },
};

const common = [
  ...["model.name=airbench", "model.width=0.125", "training.batch_size=128"],
  ...[
    "dataset.validation_fraction=0.2",
    "training.num_epochs=9",
    "training.early_stopping=false",
    "ray_tune.num_samples=100",
  ],
  ...["ray_tune.resources_per_trial.cpu=1", "ray_tune.search.startup_trials=5"],
  "ray_tune.parameters={learning_rate: {min: 0.003, max: 3}, momentum: {min: 0.5, max: 0.95}, weight_decay: {min: 0.00001, max: 0.01}, label_smoothing: {min: 0, max: 0.3}}",
];

const strategies = {
  "random search": ["ray_tune.search.algorithm=random", "ray_tune.scheduler.name=none"],
  "ASHA with random": [
    "ray_tune.search.algorithm=random",
    "ray_tune.scheduler.name=asha",
    "ray_tune.scheduler.reduction_factor=3",
  ],
  "ASHA with TPE": [
    "ray_tune.search.algorithm=tpe",
    "ray_tune.scheduler.name=asha",
    "ray_tune.scheduler.reduction_factor=3",
  ],
};

function sweep(settings, { seed, teraflops, images, keep }) {
  if (keep !== undefined) mkdirSync(keep, { recursive: true });
  const cwd = mkdtempSync(join(keep ?? tmpdir(), "bench-tuning-"));
  try {
    const data = `dataset.data_dir=${join(tmpdir(), "bench-tuning-data")}`;
    const set = [
      ...common,
      ...settings,
      data,
      `dataset.limit=${images}`,
      `training.seed=${seed}`,
      `ray_tune.flops_budget=${teraflops}e12`,
    ].flatMap((setting) => ["--set", setting]);
    const began = performance.now();
    const { status, stdout, stderr } = spawnSync(process.execPath, [entry, "tune", "--json", ...set], {
      cwd,
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    if (status !== 0) throw new Error(`the sweep failed: ${stderr}`);
    const { best, summary } = JSON.parse(stdout.trim().split("\n").at(-1));
    return {
      accuracy: best.value,
      trials: summary.trials.length,
      complete: summary.counts.complete,
      teraflops: summary.flops / 1e12,
      seconds: (performance.now() - began) / 1000,
    };
  } finally {
    if (keep === undefined) rmSync(cwd, { recursive: true, force: true });
  }
}

export async function run({ seeds, teraflops, images, keep, strategies: wanted }, print) {
  const chosen = wanted?.split(",") ?? Object.keys(strategies);
  const unknown = chosen.find((name) => !Object.hasOwn(strategies, name));
  if (unknown !== undefined) throw new Error(`--strategies: no ${unknown}; there are ${Object.keys(strategies)}`);
  const results = Object.fromEntries(chosen.map((name) => [name, []]));
  for (let seed = 1; seed <= Number(seeds); seed++)
    for (const name of chosen) {
      const result = sweep(strategies[name], { seed, teraflops, images, keep });
      results[name].push(result);
      print(
        `${name}, seed ${seed}: best validation accuracy ${(100 * result.accuracy).toFixed(1)} %, ${result.trials} trials ` +
          `(${result.complete} complete), ${result.teraflops.toFixed(1)} TFLOP, ${result.seconds.toFixed(0)} s`,
      );
    }
  const mean = (name) => results[name].reduce((sum, { accuracy }) => sum + accuracy, 0) / Number(seeds);
  return { results, ratio: mean(chosen.at(-1)) / mean(chosen[0]) };
}
