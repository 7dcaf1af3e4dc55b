// First-run set-up: checks Node, installs the packages when the lock file changed, builds when a source changed.
import { spawnSync } from "node:child_process";
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

function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
  if (result.status !== 0) {
    console.error(
      `bootstrap: \`${command} ${args.join(" ")}\` failed${result.error ? `: ${result.error.message}` : ""}`,
    );
    process.exit(1);
  }
}

const lockHash = createHash("sha256")
  .update(readFileSync(join(root, "package-lock.json")))
  .digest("hex");
const installStamp = join(root, "node_modules", ".cifar-install");
if (!existsSync(installStamp) || readFileSync(installStamp, "utf8") !== lockHash) {
  console.error("installing packages (first run or changed lock file) …");
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
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
  run(process.execPath, [join(root, "scripts", "build.mjs")]);
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(buildStamp, "");
}
