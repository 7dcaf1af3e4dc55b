import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import sharp from "sharp";
import { afterAll, afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { RotatingFile } from "../../src/observability/logs/rotating-file.ts";
import { logFileNames, openServiceLog } from "../../src/observability/logs/service-log.ts";
import { startServer } from "../../src/serving/server.ts";
import { writeTinyBundle } from "../api/tiny-bundle.ts";
import { fill, mountSmallDisk } from "../small-disk.ts";
import { waitFor } from "../stack/programs.ts";

vi.setConfig({ testTimeout: 120_000 });

const { path: disk, isMounted, unmount } = mountSmallDisk();
afterEach(() => {
  for (const name of readdirSync(disk)) rmSync(join(disk, name), { recursive: true });
});
afterAll(unmount);

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "log-disk-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

const sink = () => {
  const lines: string[] = [];
  return { lines, write: (line: string) => lines.push(line) };
};

const linesOf = (path: string): string[] => readFileSync(path, "utf8").trim().split("\n");

/** The service with its logs in the folder. */
async function serve(directory: string) {
  const [stdout, stderr] = [sink(), sink()];
  const log = openServiceLog({ directory, stdout, stderr });
  const bundle = await writeTinyBundle(await folder());
  const server = await startServer({ bundle, port: 0, logger: log.logger, logs: log, metricSources: [log.source] });
  onTestFinished(async () => {
    await server.close();
    await log[Symbol.asyncDispose]();
  });
  const image = await sharp({ create: { width: 32, height: 32, channels: 3, background: "#3366aa" } })
    .png()
    .toBuffer();
  const predict = async (id: string) => {
    const headers = { "content-type": "image/png", "x-request-id": id };
    const response = await fetch(`${server.url}/predict`, { method: "POST", headers, body: new Uint8Array(image) });
    await response.text();
    return response.status;
  };
  const dropped = async (file: string) => {
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    return Number(new RegExp(`^log_failures_total\\{destination="${file}"\\} (\\d+)$`, "m").exec(metrics)?.[1]);
  };
  const complaints = () => stderr.lines.filter((line) => line.includes("log lines are lost"));
  return { predict, dropped, complaints, access: join(directory, logFileNames.access), stderr };
}

const title = isMounted ? "a full disk" : "a full disk (skipped: this user can't mount a small one)";
describe.skipIf(!isMounted)(title, () => {
  it("costs the service log lines and nothing else: said once, counted, and over when there is room", async () => {
    const { predict, dropped, complaints, access } = await serve(join(disk, "logs"));
    expect(await predict("before")).toBe(200);
    expect(await dropped(logFileNames.access)).toBe(0);
    fill(join(disk, "filler"));
    // The last page of the file itself may have room for some lines more.
    let sent = 0;
    await waitFor("lost lines", async () => {
      for (let i = 0; i < 20; i++) expect(await predict(`full-${sent++}`)).toBe(200);
      return (await dropped(logFileNames.access)) >= 30;
    });
    expect(complaints().filter((line) => line.includes(logFileNames.access))).toHaveLength(1);
    expect(complaints()[0]).toContain("ENOSPC");
    rmSync(join(disk, "filler"));
    expect(await predict("after")).toBe(200);
    const lost = await dropped(logFileNames.access);
    expect(await dropped(logFileNames.access)).toBe(lost);
    // What is there is whole lines but for the one that the disk took a part of.
    const lines = linesOf(access);
    expect(lines.some((line) => line.includes('"after"'))).toBe(true);
    const broken = lines.filter((line) => !line.startsWith("{") || !line.endsWith("}"));
    expect(broken.length).toBeLessThanOrEqual(1);
  });

  it("has no room for a backup: the file waits to be emptied, stays bounded, and goes on without a line twice", async () => {
    const path = join(disk, "a.log");
    let now = 0;
    const options = { maxBytes: 400_000, backups: 2, settleMs: 1, retryMs: 20, now: () => now };
    const file = new RotatingFile({ path, ...options });
    onTestFinished(() => file.close());
    const written: string[] = [];
    const write = (mark: string) => {
      const { lost } = file.stats;
      const line = `${mark} ${written.length} ${"x".repeat(980)}`;
      file.write(`${line}\n`);
      if (file.stats.lost === lost) written.push(line);
    };
    for (let i = 0; i < 390; i++) write("first");
    // Room for some lines, not for a copy.
    writeFileSync(join(disk, "most"), Buffer.alloc(1_400_000));
    for (let i = 0; i < 1000; i++) {
      write("second");
      if (i % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 30));
    }
    expect(file.stats.lost).toBeGreaterThan(0);
    expect(existsSync(`${path}.1`)).toBe(false);
    expect(file.stats.problem).toContain("ENOSPC");
    rmSync(join(disk, "most"));
    await waitFor(
      "the rotation",
      () => existsSync(`${path}.1`) && !readdirSync(disk).some((name) => /next/.test(name)),
    );
    now = 10_000;
    write("third");
    expect(file.stats.problem).toBeNull();
    const backups = [`${path}.2`, `${path}.1`].filter((name) => existsSync(name));
    expect([...backups, path].flatMap(linesOf).filter((line) => line.endsWith("x".repeat(980)))).toEqual(written);
    expect(written.at(-1)).toMatch(/^third/);
  });
});

describe("the folder of the logs", () => {
  it.each([
    ["is removed", (path: string) => rmSync(path, { recursive: true })],
    ["is moved away", (path: string) => renameSync(path, `${path}.old`)],
  ])("may vanish while the service runs: it %s, and made anew for the next line", async (_how, vanish) => {
    const directory = join(await folder(), "logs");
    const { predict, access } = await serve(directory);
    expect(await predict("before")).toBe(200);
    vanish(directory);
    await waitFor("the folder", async () => {
      expect(await predict("after")).toBe(200);
      return existsSync(access) && linesOf(access).some((line) => line.includes('"after"'));
    });
  });

  it("may vanish with a file in its place: said once, counted, and over when the file is gone", async () => {
    const directory = join(await folder(), "logs");
    const { predict, dropped, complaints, access } = await serve(directory);
    rmSync(directory, { recursive: true });
    writeFileSync(directory, "in the way");
    for (let i = 0; i < 20; i++) expect(await predict(`lost-${i}`)).toBe(200);
    expect(await dropped(logFileNames.access)).toBeGreaterThanOrEqual(20);
    expect(complaints().filter((line) => line.includes(logFileNames.access))).toHaveLength(1);
    rmSync(directory);
    await waitFor("the folder", async () => {
      expect(await predict("after")).toBe(200);
      return existsSync(access) && linesOf(access).some((line) => line.includes('"after"'));
    });
  });

  it("may forbid writing: said once a file, counted, and over when it is allowed", async () => {
    const directory = await folder();
    const logs = join(directory, "logs");
    mkdirSync(logs);
    await chmod(directory, 0o755);
    await chmod(logs, 0o555);
    const built = new URL("../../dist/observability/logs/service-log.js", import.meta.url).href;
    const program = `
      import { openServiceLog } from ${JSON.stringify(built)};
      // Root may write everywhere: a user without rights logs instead.
      if (process.getuid() === 0) {
        process.setgid(65_534);
        process.setuid(65_534);
      }
      const sink = { write() {} };
      const log = openServiceLog({ directory: ${JSON.stringify(logs)}, stdout: sink });
      for (let i = 0; i < 10; i++) log.logger.info({ i }, "line");
      console.log(JSON.stringify(await log.stats()));
      for (;;) {
        log.logger.info("again");
        if ((await log.stats()).files.app.problem === null) break;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      await log[Symbol.asyncDispose]();`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd: "/" });
    onTestFinished(() => void child.kill("SIGKILL"));
    const errors = text(child.stderr);
    const first = await new Promise<string>((resolve, reject) => {
      child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString()));
      child.once("close", () => errors.then((message) => reject(new Error(message))));
    });
    const { files, failures_by_destination: failures } = JSON.parse(first);
    expect(files.app).toMatchObject({ lines: 0, problem: expect.stringContaining("EACCES") });
    // Ten lines, and the attempt to open the file at the start.
    expect(failures[logFileNames.app]).toBeGreaterThanOrEqual(10);
    await chmod(logs, 0o777);
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(0);
    expect(linesOf(join(logs, logFileNames.app)).at(-1)).toContain('"again"');
    const said = (await errors).split("\n").filter((line) => line.includes(logFileNames.app));
    expect(said).toHaveLength(1);
  });
});
