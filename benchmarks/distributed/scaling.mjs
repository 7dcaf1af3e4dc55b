import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { median } from "../harness/statistics.mjs";

const entry = fileURLToPath(new URL("../../bin/cifar.mjs", import.meta.url));

/** Milliseconds of each step but the first two, told by `cifar train`, for `perRank` images in each rank. */
function stepTimes({ model, ranks, perRank, steps, settings }) {
  const cwd = mkdtempSync(join(tmpdir(), "cifar-bench-"));
  const batch = ranks * perRank;
  const all = [
    "dataset.source=synthetic",
    `dataset.limit=${batch * steps + 10}`,
    "dataset.validation_fraction=0",
    "dataset.num_workers=0",
    `model.name=${model}`,
    `training.batch_size=${batch}`,
    "training.num_epochs=1",
    "training.threads=1",
    "training.early_stopping=false",
    ...(ranks === 1
      ? []
      : [
          "distributed.use_distributed=true",
          `distributed.world_size=${ranks}`,
          "distributed.init_method=tcp://localhost:0",
        ]),
    ...settings,
  ];
  try {
    const args = [entry, "train", "--json", ...all.flatMap((setting) => ["--set", setting])];
    const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd, encoding: "utf8", timeout: 200_000 });
    if (status !== 0) throw new Error(`cifar train ended with ${status}: ${stderr}`);
    const told = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const ms = told
      .filter(({ type }) => type === "step")
      .map(({ imagesPerSecond }) => (1000 * batch) / imagesPerSecond);
    return ms.slice(2);
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

/** Step times of the variants, in turns. Each rank has one thread and the same number of images. */
export function measureScaling({ model, perRank, steps, rounds, variants }) {
  const times = variants.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < variants.length; turn++) {
      const at = (round + turn) % variants.length;
      times[at].push(...stepTimes({ model, perRank, steps, ...variants[at] }));
    }
  }
  const base = median(times[0]);
  return variants.map(({ name, ranks }, i) => {
    const ms = median(times[i]);
    return { name, ranks, ms, overheadMs: ms - base, efficiency: base / ms };
  });
}
