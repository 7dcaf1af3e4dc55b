// run.mjs PROGRAM [argument…]: the first-run set-up, then a program of this package, both in this one process: a signal
// that reaches it reaches the program, which `a && b` in a shell would swallow.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import "./bootstrap.mjs";

// npm passes some signals to its shell only, and others to nobody: when npm or its shell has gone, this process ends too.
if (process.env.npm_lifecycle_event !== undefined) {
  const before = starters();
  const watch = setInterval(() => {
    if (starters() === before) return;
    clearInterval(watch);
    process.kill(process.pid, "SIGTERM");
  }, 500);
  watch.unref();
}

/** The process that started this one, and npm where that is its shell. */
function starters() {
  const parent = process.ppid;
  try {
    const [, name, npm] = /^\d+ \((.*)\) \S (\d+) /s.exec(readFileSync(`/proc/${parent}/stat`, "utf8"));
    return /^(sh|dash|ash|bash|busybox)$/.test(name) ? `${parent} ${npm}` : `${parent}`;
  } catch {
    // No /proc: the shells of such systems make room for the program that they start.
    return `${parent}`;
  }
}

const program = join(fileURLToPath(new URL("..", import.meta.url)), process.argv[2]);
process.argv.splice(1, 2, program);
await import(pathToFileURL(program).href);
