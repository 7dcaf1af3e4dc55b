// npm run dev [-- argument of `cifar serve`…]: the server, which starts again when a source or the configuration changes. The
// old one answers until the new one listens, and goes on when that ends before: the port is never lost.
// --no-compile: another program compiles src/ to dist/.
import { spawn } from "node:child_process";
import cluster from "node:cluster";
import { cpSync, existsSync, watch } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const [src, dist] = ["src", "dist"].map((name) => join(root, name));
const args = process.argv.slice(2).filter((argument) => argument !== "--no-compile");
const compiles = args.length === process.argv.length - 2;
/** Editors write a file in several steps, compilers many files one after the other. */
const quietMs = 200;
/** What a server gets to answer what has arrived. */
const patienceMs = 20_000;

cluster.setupPrimary({ exec: join(root, "scripts", "dev-server.mjs"), args: ["serve", ...args] });
let current;
let next;
let stopping = false;
let timer;
const say = (text) => process.stderr.write(`dev: ${text}\n`);

function restart() {
  clearTimeout(timer);
  timer = setTimeout(start, quietMs);
}

function start() {
  if (stopping) return;
  end(next);
  const worker = cluster.fork();
  next = worker;
  worker.once("listening", () => {
    if (worker !== next) return;
    next = undefined;
    end(current);
    current = worker;
    say("the new server answers");
  });
  worker.once("exit", (code, signal) => {
    if (stopping || (worker !== next && worker !== current)) return;
    const isOldThere = worker === next && current !== undefined;
    if (worker === next) next = undefined;
    else current = undefined;
    say(`the server ended (${signal ?? code}); ${isOldThere ? "the old one goes on" : "it starts at the next change"}`);
  });
}

function end(worker) {
  if (worker === undefined || worker.isDead()) return;
  // It gets no new connections, and ends when it has answered what it has.
  if (worker.isConnected()) worker.disconnect();
  if (stopping) worker.process.kill("SIGTERM");
  const timer = setTimeout(() => worker.process.kill("SIGKILL"), patienceMs);
  worker.once("exit", () => clearTimeout(timer));
}

/** Copies what is not TypeScript, as the build does. */
function onSource(_event, name) {
  if (name === null || name.endsWith(".ts")) return;
  const from = join(src, name);
  if (existsSync(from)) cpSync(from, join(dist, name), { recursive: true });
  restart();
}

let compiler;
if (compiles) {
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const options = ["-p", join(root, "tsconfig.build.json"), "--watch", "--preserveWatchOutput"];
  compiler = spawn(process.execPath, [tsc, ...options], { stdio: ["ignore", "pipe", "inherit"] });
  createInterface({ input: compiler.stdout }).on("line", (line) => {
    process.stderr.write(`${line}\n`);
    if (/Found 0 errors/.test(line)) restart();
  });
  watch(src, { recursive: true }, onSource);
} else {
  watch(dist, { recursive: true }, restart);
  start();
}
if (existsSync("config")) watch("config", { recursive: true }, restart);

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (stopping) return;
    stopping = true;
    clearTimeout(timer);
    compiler?.kill();
    const workers = Object.values(cluster.workers);
    for (const worker of workers) end(worker);
    const leave = () => workers.every((worker) => worker.isDead()) && process.exit(130);
    cluster.on("exit", leave);
    leave();
  });
}
