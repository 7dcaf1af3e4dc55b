import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { summarise } from "../harness/statistics.mjs";
import { measureAccuracy } from "./accuracy.mjs";
import { measureScaling } from "./scaling.mjs";

export const options = {
  what: { type: "string", default: "allreduce,scaling", description: "which parts (also accuracy)" },
  sizes: { type: "string", default: "1,8,25", description: "MiB that are summed" },
  ranks: { type: "string", default: "2", description: "processes of an all-reduce" },
  rounds: { type: "string", default: "3", description: "turns of each contestant" },
  repeats: { type: "string", default: "10", description: "sums of each size in a turn" },
  models: { type: "string", default: "resnet9", description: "networks of the scaling part" },
  images: { type: "string", default: "64", description: "images of each rank in a step" },
  seeds: { type: "string", default: "2", description: "trainings of each kind in the part accuracy" },
  python: { type: "string", description: "a Python with torch and mpi4py; else BENCH_PYTHON, else python3" },
};

const here = (file) => fileURLToPath(new URL(file, import.meta.url));
/** mpirun listens on all interfaces: it gets a network of its own. */
const privateNetwork = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"];

export async function run(values, print) {
  const numbers = (text) => text.split(",").map(Number);
  const python = values.python ?? process.env.BENCH_PYTHON ?? "python3";
  const hardware = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, load: loadavg()[0] };
  print(`${hardware.cpu}, ${hardware.cores} cores, load ${hardware.load.toFixed(2)} at the start`);
  const parts = values.what.split(",");
  const plan = { worldSize: Number(values.ranks), sizes: numbers(values.sizes), repeats: Number(values.repeats) };
  const libraries = mpichLibraries();
  const allReduce = parts.includes("allreduce")
    ? compare(plan, { rounds: Number(values.rounds), python, libraries, print })
    : null;
  rmSync(libraries, { recursive: true });
  const scaling = {};
  if (parts.includes("scaling")) {
    for (const model of values.models.split(",")) {
      scaling[model] = measureScaling({
        model,
        perRank: Number(values.images),
        steps: 8,
        rounds: Number(values.rounds),
        variants: [
          { name: "1 rank", ranks: 1, settings: [] },
          { name: "2 ranks", ranks: 2, settings: [] },
          { name: "2 ranks, backward in 2 parts", ranks: 2, settings: ["distributed.backward_parts=2"] },
          { name: "2 ranks, batch norm over all", ranks: 2, settings: ["distributed.sync_batch_norm=true"] },
          { name: "2 ranks, float16 gradients", ranks: 2, settings: ["distributed.compression=float16"] },
          { name: "2 ranks, exchange each 4 steps", ranks: 2, settings: ["distributed.local_steps=4"] },
          { name: "4 ranks", ranks: 4, settings: [] },
        ],
      });
      print(`\n${model}, one thread and ${values.images} images in each rank: ms a step (median)`);
      for (const { name, ms, overheadMs, efficiency } of scaling[model]) {
        const more = `${overheadMs >= 0 ? "+" : ""}${overheadMs.toFixed(0)}`;
        print(
          `  ${name.padEnd(30)} ${ms.toFixed(0).padStart(6)} ${more.padStart(7)}  efficiency ${(100 * efficiency).toFixed(0)} %`,
        );
      }
    }
  }
  const accuracy = parts.includes("accuracy")
    ? measureAccuracy({ model: "resnet9", images: 10_000, epochs: 5, seeds: Number(values.seeds), print })
    : null;
  return { hardware, plan, allReduce, scaling, accuracy, ratio: allReduce?.ratio ?? null };
}

/** A folder in which MPICH has the name that mpi4py looks for; Debian gives it another one beside Open MPI. */
function mpichLibraries() {
  const folder = mkdtempSync(join(tmpdir(), "bench-mpich-"));
  const { stdout } = spawnSync("ldconfig", ["-p"], { encoding: "utf8" });
  const path = /libmpich\.so\.12 .*=> (\S+)/.exec(stdout ?? "")?.[1];
  if (path !== undefined) symlinkSync(path, join(folder, "libmpi.so.12"));
  return folder;
}

/** Times the same sums in all ways that there are here, in turns. `ratio`: gloo's time over that of our TCP. */
function compare(plan, { rounds, python, libraries, print }) {
  const ours = (name, transport, more = {}) => ({
    name,
    command: [
      ...(transport === "mpi" ? privateNetwork : []),
      process.execPath,
      here("group.mjs"),
      JSON.stringify({ transport, algorithm: "auto", ...more, ...plan }),
    ],
  });
  const openMpi = (btl) => ["mpirun.openmpi", "--mca", "btl", `${btl},self`];
  const mpich = ["mpirun.mpich"];
  const own = (name, mpirun, { abi, flags = [], env = [] }) => ({
    name,
    command: [
      ...[...privateNetwork, "env", `MPI4PY_MPIABI=${abi}`, ...env, ...mpirun, ...flags, "-n", `${plan.worldSize}`],
      ...[python, here("mpi.py"), JSON.stringify(plan)],
    ],
  });
  const openMpiFlags = ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"];
  const contestants = [
    ours("ours, tcp", "tcp"),
    ours("ours, Open MPI", "mpi", { mpirun: openMpi("vader") }),
    own("Open MPI itself", openMpi("vader"), { abi: "openmpi", flags: openMpiFlags }),
    own("Open MPI over tcp", [...openMpi("tcp"), "--mca", "btl_tcp_if_include", "lo"], {
      abi: "openmpi",
      flags: openMpiFlags,
    }),
    ours("ours, MPICH", "mpi", { mpirun: mpich }),
    own("MPICH itself", mpich, { abi: "mpich", env: [`LD_LIBRARY_PATH=${libraries}`] }),
    { name: "torch gloo", command: [python, here("gloo.py"), JSON.stringify(plan)] },
  ];
  const times = contestants.map(() => Object.fromEntries(plan.sizes.map((mb) => [mb, []])));
  const names = contestants.map(({ name }) => name);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contestants.length; turn++) {
      const at = (round + turn) % contestants.length;
      const { command } = contestants[at];
      const { status, stdout, stderr, error } = spawnSync(command[0], command.slice(1), {
        encoding: "utf8",
        timeout: 120_000,
      });
      if (status !== 0) {
        if (round === 0) print(`${names[at]} is left out: ${error?.message ?? stderr.trim().split("\n").at(-1)}`);
        continue;
      }
      const told = JSON.parse(stdout.trim().split("\n").at(-1));
      for (const mb of plan.sizes) times[at][mb].push(...told.times[mb]);
    }
  }
  print(`\nall-reduce of float32 in ${plan.worldSize} processes, ms (median, quartiles) and GB/s of data summed`);
  const rows = [];
  for (const [i, name] of names.entries()) {
    for (const mb of plan.sizes) {
      if (times[i][mb].length === 0) continue;
      const ms = summarise(times[i][mb]);
      const gbPerSecond = (mb * 2 ** 20) / 1e6 / ms.median;
      rows.push({ name, mb, ms, gbPerSecond });
      const spread = `${ms.lowerQuartile.toFixed(2)} to ${ms.upperQuartile.toFixed(2)}`;
      print(
        `  ${name.padEnd(18)} ${`${mb} MiB`.padStart(7)} ${ms.median.toFixed(2).padStart(8)}  (${spread})  ${gbPerSecond.toFixed(2)}`,
      );
    }
  }
  const largest = Math.max(...plan.sizes);
  const of = (name) => rows.find((row) => row.name === name && row.mb === largest)?.ms.median;
  const ratio =
    of("torch gloo") === undefined || of("ours, tcp") === undefined ? null : of("torch gloo") / of("ours, tcp");
  return { rows, ratio };
}
