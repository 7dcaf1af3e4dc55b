import { spawn, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

// Nothing of this program reports its use or writes to the home folder, whatever its libraries do by default.
const dist = (file: string): string => new URL(`../../dist/${file}`, import.meta.url).href;
const cli = fileURLToPath(new URL("../../bin/cifar.mjs", import.meta.url));
const hasStrace = spawnSync("strace", ["-V"], { stdio: "ignore" }).status === 0;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "no-telemetry-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** What a Node process with a fresh home folder leaves there, and the addresses beyond this machine that it asks for. */
async function traces(name: string, args: readonly string[]): Promise<{ files: string[]; calls: string[] }> {
  const folder = join(root, name);
  const home = join(folder, "home");
  await mkdir(home, { recursive: true });
  const log = join(folder, "calls");
  const [program, ...rest] = hasStrace
    ? ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", log, process.execPath, ...args]
    : [process.execPath, ...args];
  const child = spawn(program!, rest, { cwd: folder, env: { PATH: process.env.PATH, HOME: home }, stdio: "pipe" });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += String(chunk)));
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect(code, output).toBe(0);
  const text = hasStrace ? await readFile(log, "utf8") : "";
  return {
    files: await readdir(home, { recursive: true }),
    calls: text.split("\n").filter((line) => /AF_INET/.test(line) && !/127\.0\.0\.1/.test(line)),
  };
}

const nothing = { files: [], calls: [] };
const engine = `const { createOnnxExecutor } = await import(${JSON.stringify(dist("index.js"))});
  await createOnnxExecutor({ threads: 1 });`;

describe("telemetry of the libraries", () => {
  it("is off in a program that embeds the package", async () => {
    expect(await traces("embedded", ["--input-type=module", "--eval", engine])).toEqual(nothing);
  });

  it("is off in a thread of a program that loads the package there only", async () => {
    const source = JSON.stringify(`(async () => { ${engine} })()`);
    const program = `import { Worker } from "node:worker_threads"; new Worker(${source}, { eval: true });`;
    expect(await traces("thread", ["--input-type=module", "--eval", program])).toEqual(nothing);
  });

  it("is off in training, its ranks and its workers", { timeout: 240_000 }, async () => {
    const settings = [
      ...["dataset.source=synthetic", "dataset.limit=200", "model.name=airbench", "model.width=0.125"],
      ...["model.airbench.whitening_samples=100", "training.batch_size=16", "training.fast_dev=true"],
      "distributed.init_method=tcp://localhost:0",
    ].flatMap((setting) => ["--set", setting]);
    expect(await traces("training", [cli, "train", "--distributed", ...settings])).toEqual(nothing);
  });
});
