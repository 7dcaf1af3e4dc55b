import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, openSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { runCli, startCli } from "./run-cli.ts";

// How the program ends when somebody ends it, and what it does when nobody listens any more.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const repository = fileURLToPath(new URL("../..", import.meta.url));
const cli = join(repository, "bin", "cifar.mjs");
const tiny = [
  ...["dataset.source=synthetic", "dataset.limit=400", "model.name=airbench", "model.width=0.125"],
  ...["model.airbench.whitening_samples=200", "training.batch_size=16", "training.num_epochs=1"],
].flatMap((setting) => ["--set", setting]);
// Steps that take long enough to be interrupted inside ONNX Runtime.
const heavy = [...tiny, ...["--set", "model.width=1", "--set", "training.batch_size=120"]];

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "signals-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const folder = (): Promise<string> => mkdtemp(join(root, "case-"));

async function runRecord(cwd: string): Promise<{ status: string; directory: string }> {
  const runs = join(cwd, "checkpoints", "runs");
  const [name] = await readdir(runs);
  return { ...JSON.parse(await readFile(join(runs, name!, "run.json"), "utf8")), directory: join(runs, name!) };
}

/** Resolves when what a process prints matches. */
function printed(child: ChildProcess, pattern: RegExp): Promise<RegExpExecArray> {
  let text = "";
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout!, child.stderr!])
      stream.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        const found = pattern.exec(text);
        if (found !== null) resolve(found);
      });
    child.once("close", (code) => reject(new Error(`it ended with ${code}: ${text}`)));
  });
}

const ended = (child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> =>
  new Promise((resolve) => child.once("close", (code, signal) => resolve([code, signal])));

describe("a signal", () => {
  it.each([
    ["train", ["train", "--json", ...heavy], /"type":"step"/],
    ["train --distributed", ["train", "--distributed", "--json", ...heavy], /"type":"step"/],
    ["tune", ["tune", "--json", ...heavy, "--set", "ray_tune.num_samples=2"], /"type":"study"/],
  ])("twice ends `cifar %s` at once with 130", async (_, args, started) => {
    const cwd = await folder();
    const [command, ...rest] = args;
    const more = ["--set", "distributed.init_method=tcp://localhost:0"];
    const child = spawn(process.execPath, [cli, command!, ...rest, ...more], { cwd });
    const end = ended(child);
    await printed(child, started);
    child.kill("SIGINT");
    await printed(child, /Ctrl-C again/);
    child.kill("SIGTERM");
    expect(await end).toEqual([130, null]);
  });

  it("of a terminal that closes saves and stops a training", async () => {
    const cwd = await folder();
    let sent = false;
    const { code } = await startCli(["train", "--json", ...tiny], {
      cwd,
      onLine(line, child) {
        if (!sent && line.includes('"type":"step"')) sent = child.kill("SIGHUP");
      },
    }).ended;
    expect(code).toBe(130);
    const { status, directory } = await runRecord(cwd);
    expect(status).toBe("stopped");
    expect(existsSync(join(directory, "last.safetensors"))).toBe(true);
  });

  it.each(["SIGTERM", "SIGHUP"] as const)("%s to npm ends what npm has started", async (signal) => {
    const args = ["run", "cifar", "--", "track", "--port", "0", "--store", join(await folder(), "runs.sqlite")];
    const child = spawn("npm", args, { cwd: repository });
    const [, url] = await printed(child, /tracking at (http:\S+),/);
    const end = ended(child);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    child.kill(signal);
    // Its output closes when the last process that has it is gone.
    await end;
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });
});

describe("an output that is lost", () => {
  it("does not end a training whose reader has gone", async () => {
    const cwd = await folder();
    const { child, ended: end } = startCli(["train", ...tiny, "--set", "training.num_epochs=3"], { cwd });
    child.stdout!.once("data", () => child.stdout!.destroy());
    const { code, stderr } = await end;
    expect(code, stderr).toBe(0);
    expect(stderr.match(/standard output is lost/g)).toHaveLength(1);
    expect((await runRecord(cwd)).status).toBe("finished");
  });

  it.skipIf(!existsSync("/dev/full"))("on a full device lets a training end well, and fails in the end", async () => {
    const cwd = await folder();
    const child = spawn(process.execPath, [cli, "train", "--json", ...tiny], {
      cwd,
      stdio: ["ignore", openSync("/dev/full", "w"), "pipe"],
    });
    let errors = "";
    child.stderr!.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    expect(await ended(child)).toEqual([1, null]);
    expect(errors.match(/standard output is lost \(ENOSPC/g)).toHaveLength(1);
    expect((await runRecord(cwd)).status).toBe("finished");
  });

  it("is no failure of a command that prints a list", async () => {
    const cwd = await folder();
    const { child, ended: end } = startCli(["help"], { cwd });
    child.stdout!.destroy();
    expect(await end).toMatchObject({ code: 0, stderr: "" });
  });

  it.skipIf(!existsSync("/dev/full"))("does not end a service", async () => {
    const cwd = await folder();
    const trained = await runCli(["train", ...tiny, "--set", "training.fast_dev=true"], { cwd });
    expect(trained.code, trained.stderr).toBe(0);
    const full = openSync("/dev/full", "w");
    const log = join(cwd, "logs", "cifar10-api_app.log");
    const child = spawn(process.execPath, [cli, "serve", "--port", "0"], { cwd, stdio: ["ignore", full, full] });
    const end = ended(child);
    const url = await vi.waitFor(
      async () => {
        expect(child.exitCode).toBeNull();
        const name = (await readdir(join(cwd, "logs"))).find((file) => file.endsWith("_syslog.log"));
        const text = await readFile(name === undefined ? log : join(cwd, "logs", name), "utf8");
        return /"url":"([^"]+)"/.exec(text)![1]!;
      },
      { timeout: 60_000, interval: 200 },
    );
    for (let i = 0; i < 3; i++) expect((await fetch(`${url}/health/live`)).status).toBe(200);
    child.kill("SIGTERM");
    expect((await end)[1]).toBeNull();
  });
});
