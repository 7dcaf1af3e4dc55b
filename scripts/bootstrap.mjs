// First-run set-up: checks Node, installs the packages when the lock file changed, builds when a source changed.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `cifar-pipeline needs Node 20.19 or newer, this is ${process.version}; install a current Node and run again`,
  );
  process.exit(2);
}

/** Runs a command to its end; a signal ends it, and then this process. */
async function run(command, args) {
  const child = spawn(command, args, { cwd: root, stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  let stopped = false;
  const stop = (signal) => {
    stopped = true;
    child.kill(signal);
  };
  for (const signal of signals) process.on(signal, stop);
  const failure = await new Promise((resolve) => {
    child.once("error", (error) => resolve(`: ${error.message}`));
    child.once("close", (code) => resolve(code === 0 ? undefined : ""));
  });
  for (const signal of signals) process.off(signal, stop);
  if (stopped) process.exit(130);
  if (failure === undefined) return;
  console.error(`bootstrap: \`${command} ${args.join(" ")}\` failed${failure}`);
  process.exit(1);
}

const lockHash = createHash("sha256")
  .update(readFileSync(join(root, "package-lock.json")))
  .digest("hex");
const installStamp = join(root, "node_modules", ".cifar-install");
if (!existsSync(installStamp) || readFileSync(installStamp, "utf8") !== lockHash) {
  console.error("installing packages (first run or changed lock file) …");
  await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
  writeFileSync(installStamp, lockHash);
}

const newestSource = Math.max(
  ...readdirSync(join(root, "src"), { recursive: true, withFileTypes: true }).map(
    (entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs,
  ),
  statSync(join(root, "tsconfig.build.json")).mtimeMs,
);
const buildStamp = join(root, "dist", ".cifar-build");
if (!existsSync(buildStamp) || statSync(buildStamp).mtimeMs < newestSource) {
  console.error("building …");
  await run(process.execPath, [join(root, "scripts", "build.mjs")]);
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(buildStamp, "");
}
