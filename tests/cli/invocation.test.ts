import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { invocation } from "../../src/cli/invocation.ts";
import { loadConfig } from "../../src/config/load.ts";
import { createRunFolder, findRun, unfinishedRun, updateRun } from "../../src/experiments/run-folder.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));

describe("what the program and its documentation tell people to type", () => {
  it("can never fetch a package of the same name", async () => {
    const files = execFileSync("git", ["ls-files", "-z"], { cwd: repository, encoding: "utf8" }).split("\0");
    const texts = files.filter((file) => /\.(md|ts|mjs|js|json|ya?ml|sh|html)$/.test(file));
    const foreign = new RegExp(["npx", "cifar"].join(" "));
    for (const file of texts) expect(await readFile(join(repository, file), "utf8"), file).not.toMatch(foreign);
  });

  it("is what this program was started with", () => {
    const program = join(repository, "bin", "cifar.mjs");
    expect(invocation({}, program)).toBe(`node ${relative(process.cwd(), program)}`);
    expect(invocation({}, "/some where/bin/cifar.mjs")).toBe('node "/some where/bin/cifar.mjs"');
    expect(invocation({ npm_lifecycle_event: "cifar" }, program)).toBe("npm run cifar --");
  });
});

describe("--resume", () => {
  it("takes the folder of a run, which is what a training prints", async () => {
    const root = await mkdtemp(join(tmpdir(), "resume-"));
    onTestFinished(() => rm(root, { recursive: true, force: true }));
    const { config } = loadConfig({ env: {}, overrides: [`training.checkpoint_dir=${root}`] });
    const run = await createRunFolder(config, new Date(0));
    const found = await findRun(join(root, "runs"), `${run.directory}/`);
    expect(found.record.runId).toBe(run.record.runId);
    expect((await findRun(join(root, "elsewhere"), run.directory)).directory).toBe(run.directory);
  });

  it("auto: takes the last run, and none where it has finished or there is none", async () => {
    const root = await mkdtemp(join(tmpdir(), "resume-"));
    onTestFinished(() => rm(root, { recursive: true, force: true }));
    const runs = join(root, "runs");
    expect(await unfinishedRun(runs)).toBeUndefined();
    const { config } = loadConfig({ env: {}, overrides: [`training.checkpoint_dir=${root}`] });
    const first = await createRunFolder(config, new Date(0));
    const second = await createRunFolder(config, new Date(60_000));
    expect((await unfinishedRun(runs))?.directory).toBe(second.directory);
    await updateRun(second, { status: "failed" });
    expect((await unfinishedRun(runs))?.directory).toBe(second.directory);
    await updateRun(second, { status: "finished" });
    expect(await unfinishedRun(runs)).toBeUndefined();
    expect((await findRun(runs, first.record.runId)).directory).toBe(first.directory);
  });
});
