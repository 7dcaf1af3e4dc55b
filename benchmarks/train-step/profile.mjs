import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TOP = 10;

/**
 * Kernel times of one step, from onnxruntime's own profile, apart from the timing (profiling costs time).
 * @param start starts a contestant that profiles every run into files of this prefix
 * @returns the operators and the layers that took longest: milliseconds, share of all kernel times, number of calls
 */
export async function profileStep(start) {
  const folder = await mkdtemp(join(tmpdir(), "cifar-bench-"));
  try {
    const contestant = start(join(folder, "profile"));
    try {
      await contestant.ready();
      await contestant.ask({ steps: 1 });
    } finally {
      await contestant.close();
    }
    const [file] = await readdir(folder);
    if (file === undefined) throw new Error("onnxruntime wrote no profile");
    return kernelTimes(JSON.parse(await readFile(join(folder, file), "utf8")));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Of the last run in a profile in Chrome's trace format (microseconds). */
export function kernelTimes(events) {
  const run = events.filter(({ name }) => name === "model_run").at(-1);
  if (run === undefined) throw new Error("the profile holds no run");
  const byOperator = new Map();
  const byLayer = new Map();
  const add = (table, key, ms) => {
    const entry = table.get(key) ?? { ms: 0, calls: 0 };
    table.set(key, { ms: entry.ms + ms, calls: entry.calls + 1 });
  };
  let total = 0;
  for (const { cat, name, ts, dur, args } of events) {
    if (cat !== "Node" || !name.endsWith("_kernel_time") || ts < run.ts || ts > run.ts + run.dur) continue;
    add(byOperator, args.op_name, dur / 1000);
    // LAYER/OPERATION, as the model names them.
    add(byLayer, name.includes("/") ? name.slice(0, name.lastIndexOf("/")) : "(none)", dur / 1000);
    total += dur / 1000;
  }
  const top = (table) =>
    [...table]
      .map(([name, { ms, calls }]) => ({ name, ms, share: ms / total, calls }))
      .sort((a, b) => b.ms - a.ms)
      .slice(0, TOP);
  return { operators: top(byOperator), layers: top(byLayer) };
}
