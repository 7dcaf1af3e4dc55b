import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { RotatingFile } from "./rotating-file.ts";
import { logFileNames, openServiceLog, type ServiceLogOptions } from "./service-log.ts";

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "logs-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

function collect() {
  const text: string[] = [];
  return { text, write: (line: string) => text.push(line) };
}

async function open(options: Partial<ServiceLogOptions> = {}) {
  const directory = options.directory ?? (await folder());
  const [stdout, stderr] = [collect(), collect()];
  const log = openServiceLog({ stdout, stderr, ...options, directory });
  onTestFinished(async () => log[Symbol.asyncDispose]());
  const read = (key: keyof typeof logFileNames): Record<string, unknown>[] =>
    readFileSync(join(directory, logFileNames[key]), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  return { log, directory, stdout, stderr, read };
}

describe("openServiceLog", () => {
  it("sends each line to the files of its channel and level, with the request id and the stack", async () => {
    const { log, read, stdout, stderr } = await open();
    const request = log.logger.child({ reqId: "r-1" });
    request.info("work");
    request.info({ channel: "access", status: 200, durationMs: 1.5 }, "request answered");
    request.error({ err: new Error("broken") }, "failed");
    log.logger.warn({ channel: "system" }, "reloaded");
    expect(read("app").map(({ msg }) => msg)).toEqual(["work", "failed", "reloaded"]);
    expect(read("access")).toMatchObject([{ reqId: "r-1", status: 200, durationMs: 1.5 }]);
    expect(read("errors")).toMatchObject([
      { level: "error", reqId: "r-1", err: { message: "broken", stack: expect.stringContaining("service-log.test") } },
    ]);
    expect(read("syslog")).toMatchObject([{ level: "warn", msg: "reloaded" }]);
    expect(stdout.text).toHaveLength(3);
    expect(stderr.text).toHaveLength(1);
    expect(await log.stats()).toMatchObject({
      files: {
        app: { lines: 3, lost: 0, problem: null },
        access: { lines: 1 },
        errors: { lines: 1 },
        syslog: { lines: 1 },
      },
      lines_by_level: { info: 2, warn: 1, error: 1 },
      errors_last_hour: { Error: 1 },
    });
  });

  it("never writes secrets", async () => {
    const { log, directory } = await open();
    log.logger.info({ headers: { authorization: "Bearer geheim", "x-api-key": "geheim", cookie: "geheim" } });
    log.logger.info({ password: "geheim", smtp: { auth: { password: "geheim" } }, token: "geheim" });
    for (const name of await readdir(directory)) {
      expect(readFileSync(join(directory, name), "utf8")).not.toContain("geheim");
    }
  });

  it("goes on when the disk is full, says so once and counts", async () => {
    const directory = await folder();
    symlinkSync("/dev/full", join(directory, logFileNames.app));
    const { log, stderr, stdout } = await open({ directory });
    for (let i = 0; i < 50; i++) log.logger.info({ i }, "line");
    expect(stdout.text).toHaveLength(50);
    expect(stderr.text.join("")).toMatch(/cifar10-api_app\.log: ENOSPC/);
    expect(stderr.text).toHaveLength(1);
    const { files, failures_by_destination } = await log.stats();
    expect(files.app).toMatchObject({ lost: 50, problem: expect.stringContaining("ENOSPC") });
    expect(failures_by_destination).toMatchObject({ [logFileNames.app]: 50, [logFileNames.access]: 0 });
  });

  it("goes on without a folder it may write to", async () => {
    // A file where the folder should be: also root can't write there.
    const { log, stdout, stderr } = await open({ directory: "/dev/null/logs" });
    log.logger.info("still here");
    expect(stdout.text).toHaveLength(1);
    expect(stderr.text.length).toBe(4);
    expect((await log.stats()).files.app?.problem).toMatch(/ENOTDIR/);
  });
});

describe("syslog", () => {
  it("gets the system lines over UDP as RFC 5424", async () => {
    const server = createSocket("udp4");
    await new Promise<void>((resolve) => server.bind(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const received: string[] = [];
    server.on("message", (message) => received.push(message.toString()));
    const { log } = await open({ syslog: `udp://127.0.0.1:${server.address().port}` });
    log.logger.info("not for syslog");
    log.logger.warn({ channel: "system" }, "reloaded");
    log.logger.fatal({ channel: "system" }, "ended");
    await log[Symbol.asyncDispose]();
    while (received.length < 2) await sleep(5);
    const pattern = /^<(\d+)>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ cifar10-api \d+ - - (\{.*\})$/;
    // local0 is 16: 16 x 8 + warning 4, critical 2.
    expect(received.map((line) => pattern.exec(line)?.[1])).toEqual(["132", "130"]);
    expect(JSON.parse(pattern.exec(received[0]!)![2]!)).toMatchObject({ msg: "reloaded" });
  });

  it("gets them over TCP with counted octets, also those from before the server was there", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    let text = "";
    const ended = new Promise<void>((resolve) => {
      server.on("connection", (socket) => {
        socket.on("data", (chunk) => {
          text += chunk.toString();
        });
        socket.on("end", () => {
          socket.end();
          resolve();
        });
      });
    });
    onTestFinished(() => void server.close());
    const { log } = await open({ syslog: `tcp://127.0.0.1:${port}` });
    log.logger.info({ channel: "system" }, "grüße");
    await sleep(100);
    log.logger.info({ channel: "system" }, "again");
    await log[Symbol.asyncDispose]();
    await ended;
    const bytes = Buffer.from(text);
    const length = Number.parseInt(text, 10);
    const first = bytes.subarray(String(length).length + 1, String(length).length + 1 + length).toString();
    expect(first).toMatch(/^<134>1 .*"msg":"grüße"\}$/);
    expect(bytes.subarray(String(length).length + 1 + length).toString()).toMatch(/^\d+ <134>1 .*"again"\}$/);
  });

  it.skipIf(!existsSync("/usr/bin/logger"))("reaches the datagram socket of this machine", async () => {
    const directory = await folder();
    const path = join(directory, "devlog");
    // Node has no datagram sockets of this kind: a small Python server stands for the system's syslog.
    const server = spawn("python3", [
      "-c",
      "import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\nprint('ready',flush=True)\nprint(s.recv(9000).decode(),flush=True)",
      path,
    ]);
    onTestFinished(() => void server.kill());
    let out = "";
    server.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    while (!out.includes("ready")) await sleep(10);
    const { log } = await open({ syslog: `unix://${path}` });
    log.logger.error({ channel: "system" }, "to the machine");
    await log[Symbol.asyncDispose]();
    while (!out.includes("to the machine")) await sleep(10);
    expect(out).toMatch(/<131>.*cifar10-api/);
  });

  it("refuses a target that is none", async () => {
    const directory = await folder();
    expect(() => openServiceLog({ directory, syslog: "http://x" })).toThrow(/udp:\/\/HOST:PORT/);
  });
});

describe("RotatingFile", () => {
  const textOf = (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : "");

  it("keeps its name, its inode and at most so many backups over restarts, and overwrites no line", async () => {
    const directory = await folder();
    const path = join(directory, "a.log");
    let written = 0;
    for (let restart = 0; restart < 5; restart++) {
      const file = new RotatingFile({ path, maxBytes: 1000, backups: 3, settleMs: 1 });
      const { ino } = statSync(path);
      for (let i = 0; i < 37; i++) {
        file.write(`${String(written++).padStart(99, "0")}\n`);
        if (i % 5 === 0) await sleep(5);
      }
      file.close();
      expect(file.stats).toMatchObject({ lines: 37, lost: 0 });
      expect(file.stats.rotations).toBeGreaterThan(0);
      expect(statSync(path).ino).toBe(ino);
      expect((await readdir(directory)).every((name) => /^a\.log(\.[123])?$/.test(name))).toBe(true);
      const all = [3, 2, 1].map((n) => textOf(`${path}.${n}`)).join("") + textOf(path);
      const numbers = all.trim().split("\n").map(Number);
      expect(numbers).toEqual(Array.from(numbers, (_, i) => written - numbers.length + i));
    }
    expect((await readdir(directory)).sort()).toEqual(["a.log", "a.log.1", "a.log.2", "a.log.3"]);
  });

  it("has the lines of a process that was killed while it rotated", async () => {
    const path = join(await folder(), "a.log");
    writeFileSync(path, "first\n");
    writeFileSync(`${path}.next-${2 ** 30}`, "second\n");
    const file = new RotatingFile({ path });
    file.write("third\n");
    file.close();
    expect(readFileSync(path, "utf8")).toBe("first\nsecond\nthird\n");
    expect(existsSync(`${path}.next-${2 ** 30}`)).toBe(false);
  });

  it("begins a new line behind the half of one that a killed process has left", async () => {
    const path = join(await folder(), "a.log");
    writeFileSync(path, 'first\n{"half');
    writeFileSync(`${path}.next-${2 ** 30}`, 'second\n{"ha');
    const file = new RotatingFile({ path });
    file.write("third\n");
    file.close();
    expect(readFileSync(path, "utf8")).toBe('first\n{"half\nsecond\n{"ha\nthird\n');
  });

  it.each(["-f", "-F"])("lets `tail %s` have every line once through rotations under load", async (how) => {
    const directory = await folder();
    const path = join(directory, "a.log");
    const file = new RotatingFile({ path, maxBytes: 20_000, backups: 2, settleMs: 500 });
    onTestFinished(() => file.close());
    const tail = spawn("tail", ["-n", "+1", how, path]);
    onTestFinished(() => void tail.kill());
    let out = "";
    tail.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    file.write("line 0\n");
    while (!out.includes("line 0")) await sleep(20);
    for (let i = 1; i < 1800; i++) {
      file.write(`line ${i} ${"x".repeat(200)}\n`);
      await sleep(2);
    }
    while (!out.includes("line 1799 ")) await sleep(20);
    expect(file.stats.rotations).toBeGreaterThanOrEqual(3);
    const seen = [...out.matchAll(/^line (\d+)/gm)].map(([, n]) => Number(n));
    expect(seen).toEqual(Array.from({ length: 1800 }, (_, i) => i));
  });

  it("goes on by itself when the folder can be written to again, with a torn line closed", async () => {
    const directory = await folder();
    const path = join(directory, "sub", "a.log");
    let now = 0;
    const blocked = join(directory, "sub");
    symlinkSync("/dev/null", blocked);
    const failures: unknown[] = [];
    const file = new RotatingFile({ path, now: () => now, onFailure: (error) => failures.push(error) });
    onTestFinished(() => file.close());
    file.write("lost\n");
    await rm(blocked);
    mkdirSync(blocked);
    file.write("lost too: not tried again yet\n");
    now = 5001;
    file.write("written\n");
    expect(readFileSync(path, "utf8")).toBe("written\n");
    expect(file.stats).toMatchObject({ lines: 1, problem: null });
    expect(failures.length).toBeGreaterThan(0);
  });
});
