import { readdirSync, readFileSync } from "node:fs";

/**
 * Memory of a process and all that descend from it (Linux).
 * @returns MiB resident, each process counted whole; MiB in which pages that several share are shared out; processes
 */
export function memoryOf(pid) {
  const pids = family(pid);
  const total = { rss: 0, pss: 0 };
  for (const each of pids) {
    total.rss += kibibytes(`/proc/${each}/status`, "VmRSS");
    total.pss += kibibytes(`/proc/${each}/smaps_rollup`, "Pss");
  }
  return {
    rss_mib: Math.round(total.rss / 1024),
    pss_mib: Math.round(total.pss / 1024),
    processes: pids.length,
  };
}

function family(root) {
  const children = new Map();
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    // The command, in brackets, may hold spaces and brackets; the parent is the second word after it.
    const stat = read(`/proc/${name}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [root];
  for (let index = 0; index < found.length; index++) found.push(...(children.get(found[index]) ?? []));
  return found;
}

function kibibytes(file, name) {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(read(file))?.[1] ?? 0);
}

/** Nothing for a process that has just ended. */
function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
