import { type ChildProcess, spawn } from "node:child_process";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { existsSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { hostname } from "node:os";
import { PipelineError } from "../../base/errors.ts";

export interface SyslogLine {
  /** pino's level: 10 trace to 60 fatal. */
  readonly level: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly message: string;
}

/** Takes lines, never throws, never waits. */
export interface Syslog extends AsyncDisposable {
  send(line: SyslogLine): void;
}

export interface SyslogOptions {
  /** udp://host:514, tcp://host:601, or unix:///dev/log for the socket of this machine. */
  readonly target: string;
  readonly appName: string;
  /** Called for each line that could not be sent. */
  readonly onFailure: (error: unknown) => void;
}

/** Facility local0. */
const facility = 16;

/** Lines that wait for a connection; the oldest are dropped. */
const bufferedLines = 1000;

/** RFC 5424, with the JSON line as the message. */
export function formatSyslog({ level, time, message }: SyslogLine, appName: string): string {
  const severity = level >= 60 ? 2 : level >= 50 ? 3 : level >= 40 ? 4 : level >= 30 ? 6 : 7;
  const stamp = new Date(time).toISOString();
  const host = hostname().replace(/[^\x21-\x7e]/g, "") || "-";
  return `<${facility * 8 + severity}>1 ${stamp} ${host} ${appName} ${process.pid} - - ${message}`;
}

/** @throws INVALID_ARGUMENT for a target that is none */
export function openSyslog({ target, appName, onFailure }: SyslogOptions): Syslog {
  const { protocol, hostname: host, port, pathname } = parseTarget(target);
  const format = (line: SyslogLine): string => formatSyslog(line, appName);
  switch (protocol) {
    case "udp:":
      return udp({ host, port: Number(port) || 514, format, onFailure });
    case "tcp:":
      return stream({ open: () => connect(Number(port) || 601, host), format, onFailure });
    case "unix:":
      return local({ path: pathname, appName, format, onFailure });
    default:
      throw invalid(target);
  }
}

function parseTarget(target: string): URL {
  if (!URL.canParse(target)) throw invalid(target);
  return new URL(target);
}

function invalid(target: string): PipelineError {
  return new PipelineError("INVALID_ARGUMENT", `${target} is no syslog target`, {
    remedy: "write udp://HOST:PORT, tcp://HOST:PORT or unix:///dev/log",
  });
}

interface TransportOptions {
  readonly format: (line: SyslogLine) => string;
  readonly onFailure: (error: unknown) => void;
}

function udp(options: TransportOptions & { readonly host: string; readonly port: number }): Syslog {
  const { host, port, format, onFailure } = options;
  // An IPv6 address stands in brackets in a URL.
  const address = host.replace(/^\[|\]$/g, "");
  const socket: UdpSocket = createSocket(address.includes(":") ? "udp6" : "udp4");
  socket.on("error", onFailure);
  socket.unref();
  const pending = new Set<Promise<void>>();
  return {
    send(line) {
      const sent = new Promise<void>((resolve) => {
        socket.send(format(line), port, address, (error) => {
          if (error !== null) onFailure(error);
          resolve();
        });
      });
      pending.add(sent);
      void sent.then(() => pending.delete(sent));
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(pending);
      await new Promise<void>((resolve) => socket.close(() => resolve()));
    },
  };
}

/** One connection, opened again when it breaks; frames are counted in octets (RFC 6587). */
function stream(options: TransportOptions & { readonly open: () => Socket }): Syslog {
  const { open, format, onFailure } = options;
  let socket: Socket | undefined;
  let ready = false;
  let closed = false;
  let waiting: string[] = [];
  let retry: NodeJS.Timeout | undefined;
  const start = (): void => {
    const opened = open();
    socket = opened;
    opened.unref();
    opened.on("connect", () => {
      ready = true;
      for (const frame of waiting.splice(0)) opened.write(frame);
    });
    opened.on("error", onFailure);
    opened.on("close", () => {
      ready = false;
      if (closed) return;
      retry = setTimeout(start, 1000);
      retry.unref();
    });
  };
  start();
  return {
    send(line) {
      const text = format(line);
      const frame = `${Buffer.byteLength(text)} ${text}`;
      if (ready && socket !== undefined) socket.write(frame);
      else {
        waiting.push(frame);
        if (waiting.length <= bufferedLines) return;
        waiting = waiting.slice(1);
        onFailure(new Error("the syslog server is not connected and its buffer is full"));
      }
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      clearTimeout(retry);
      const last = socket;
      if (last === undefined || !ready) {
        last?.destroy();
        for (const _ of waiting) onFailure(new Error("the syslog server was never connected"));
        return;
      }
      await new Promise<void>((resolve) => last.end(() => resolve()));
    },
  };
}

/**
 * The socket of this machine is a datagram socket on most systems, which Node can't open: the system's own `logger`
 * does, one process that reads all lines. Where it is a stream socket, Node connects itself.
 */
function local(options: TransportOptions & { readonly path: string; readonly appName: string }): Syslog {
  const { path, appName, format, onFailure } = options;
  if (!existsSync("/usr/bin/logger")) return stream({ open: () => connect(path), format, onFailure });
  const args = ["--socket", path, "--tag", appName, `--id=${process.pid}`, "--prio-prefix", "--size", "8KiB"];
  const child: ChildProcess = spawn("/usr/bin/logger", args, { stdio: ["pipe", "ignore", "pipe"] });
  child.unref();
  child.on("error", onFailure);
  child.stdin?.on("error", onFailure);
  child.stderr?.on("data", (text: Buffer) => onFailure(new Error(`logger: ${text.toString().trim()}`)));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return {
    send(line) {
      const priority = /^<\d+>/.exec(format(line))?.[0] ?? "";
      child.stdin?.write(`${priority}${line.message}\n`);
    },
    async [Symbol.asyncDispose]() {
      child.stdin?.end();
      await ended;
    },
  };
}
