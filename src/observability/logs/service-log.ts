import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { MetricSource } from "../instruments.ts";
import { setCounter } from "../instruments.ts";
import { createLogger, type Logger, type LogLevel } from "../logger.ts";
import { type ConsoleOutput, consoleOutput, type LineSink } from "./console-output.ts";
import { codeOfLine, RecentErrors } from "./recent-errors.ts";
import { RotatingFile } from "./rotating-file.ts";
import { openSyslog, type Syslog } from "./syslog.ts";

/** The names that people have in their `tail` and `grep` lines. */
export const logFileNames = {
  app: "cifar10-api_app.log",
  access: "cifar10-api_api_access.log",
  errors: "cifar10-api_errors.log",
  syslog: "cifar10-api_syslog.log",
} as const;

export type LogFileKey = keyof typeof logFileNames;

export interface ServiceLogOptions {
  /** Null: no files. */
  readonly directory: string | null;
  readonly level?: LogLevel;
  /** From which level lines also go to the console: errors to standard error, others to standard output. */
  readonly consoleLevel?: LogLevel;
  /** See SyslogOptions; null: none. */
  readonly syslog?: string | null;
  readonly maxBytes?: number;
  readonly backups?: number;
  /** Default: the process's, without ever waiting for them. */
  readonly stdout?: LineSink;
  readonly stderr?: LineSink;
}

/** What /logs/stats tells of one file; counts are those since the start of the process. */
export type LogFileReport = {
  readonly path: string;
  readonly bytes: number;
  readonly lines: number;
  readonly lost: number;
  readonly rotations: number;
  /** ISO time; null before the first line. */
  readonly last_write: string | null;
  readonly problem: string | null;
  readonly backups: readonly { readonly path: string; readonly bytes: number }[];
};

/** What /logs/stats tells, in the words of the API. */
export type LogStats = {
  readonly directory: string | null;
  /** Empty without a folder. */
  readonly files: Readonly<Partial<Record<LogFileKey, LogFileReport>>>;
  readonly lines_by_level: Readonly<Record<string, number>>;
  /** Error lines of the last hour, by the code of their error. */
  readonly errors_last_hour: Readonly<Record<string, number>>;
  readonly failures_by_destination: Readonly<Record<string, number>>;
  readonly syslog: { readonly target: string | null; readonly lost: number };
  readonly total_bytes: number;
};

export interface ServiceLog extends AsyncDisposable {
  readonly logger: Logger;
  readonly source: MetricSource;
  stats(): Promise<LogStats>;
}

const levelNames: Readonly<Record<number, string>> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};
const levelNumbers: Readonly<Record<LogLevel, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  fatal: 60,
  silent: Number.POSITIVE_INFINITY,
};

/** Failures of one destination are told at most so often on standard error; all of them are counted. */
const complaintIntervalMs = 60_000;

/**
 * The log of the service: JSON lines in four files, on the console and, where wanted, in syslog. A line with the field
 * `channel: "access"` goes to the access log, one with `channel: "system"` (start, stop, reload, change of the
 * configuration) also to the syslog file and the syslog server, every other one to the app log; errors are in the error
 * log as well, with their stacks.
 */
export function openServiceLog(options: ServiceLogOptions): ServiceLog {
  const { directory, level = "info", consoleLevel = "info", syslog: target = null } = options;
  const lines: Record<string, number> = Object.fromEntries(Object.values(levelNames).map((name) => [name, 0]));
  const destinations = [
    ...(directory === null ? [] : Object.values(logFileNames)),
    ...(target === null ? [] : ["syslog"]),
    ...["stdout", "stderr"],
  ];
  const failures: Record<string, number> = Object.fromEntries(destinations.map((name) => [name, 0]));
  const recentErrors = new RecentErrors();
  const toldAt = new Map<string, number>();

  const fail = (destination: string) => (error: unknown) => {
    failures[destination] = (failures[destination] ?? 0) + 1;
    const last = toldAt.get(destination) ?? Number.NEGATIVE_INFINITY;
    if (performance.now() - last < complaintIntervalMs) return;
    toldAt.set(destination, performance.now());
    const reason = error instanceof Error ? error.message : String(error);
    const time = new Date().toISOString();
    const msg = `log lines are lost: ${destination}: ${reason}`;
    stderr.write(`${JSON.stringify({ level: "error", time, service: "cifar10-api", channel: "system", msg })}\n`);
  };
  const consoles: ConsoleOutput[] = [];
  const openConsole = (name: "stdout" | "stderr"): LineSink => {
    const output = consoleOutput(process[name], fail(name));
    consoles.push(output);
    return output;
  };
  const { stdout = openConsole("stdout"), stderr = openConsole("stderr") } = options;
  const files = directory === null ? undefined : openFiles(directory, options, fail);
  const syslog: Syslog | undefined =
    target === null ? undefined : openSyslog({ target, appName: "cifar10-api", onFailure: fail("syslog") });

  // pino tells such a stream the level and the fields of the line that it writes next.
  const stream = {
    [Symbol.for("pino.metadata")]: true,
    lastLevel: levelNumbers.info,
    lastObj: undefined as unknown,
    write(line: string): void {
      const number = stream.lastLevel;
      const name = levelNames[number] ?? "info";
      lines[name] = (lines[name] ?? 0) + 1;
      const channel = channelOf(stream.lastObj);
      files?.[channel === "access" ? "access" : "app"].write(line);
      if (number >= levelNumbers.error) {
        recentErrors.add(codeOfLine(stream.lastObj));
        files?.errors.write(line);
      }
      if (channel === "system") {
        files?.syslog.write(line);
        syslog?.send({ level: number, time: Date.now(), message: line.trimEnd() });
      }
      if (number >= levelNumbers[consoleLevel]) (number >= levelNumbers.error ? stderr : stdout).write(line);
    },
  };
  const logger = createLogger({ level, stream });

  let closing: PromiseLike<void> | undefined;
  return {
    logger,
    async source(instruments) {
      setCounter(
        instruments.log_lines_total,
        Object.entries(lines).map(([name, total]) => [{ level: name }, total] as const),
      );
      setCounter(
        instruments.log_failures_total,
        Object.entries(failures).map(([destination, total]) => [{ destination }, total] as const),
      );
      const rotations = Object.values(files ?? {}).reduce((sum, { stats }) => sum + stats.rotations, 0);
      setCounter(instruments.log_rotations_total, [[{}, rotations]]);
    },
    async stats() {
      const entries = Object.entries(files ?? {});
      const reports = await Promise.all(entries.map(([, each]) => report(each)));
      return {
        directory,
        files: Object.fromEntries(entries.map(([key], i) => [key, reports[i]!])),
        lines_by_level: { ...lines },
        errors_last_hour: recentErrors.byCode(),
        failures_by_destination: { ...failures },
        syslog: { target, lost: failures.syslog ?? 0 },
        total_bytes: reports.reduce(
          (sum, { bytes, backups }) => sum + bytes + backups.reduce((all, backup) => all + backup.bytes, 0),
          0,
        ),
      };
    },
    [Symbol.asyncDispose]() {
      for (const each of Object.values(files ?? {})) each.close();
      closing ??= Promise.all([syslog, ...consoles].map((each) => each?.[Symbol.asyncDispose]())).then(() => undefined);
      return closing;
    },
  };
}

function openFiles(
  directory: string,
  { maxBytes, backups }: ServiceLogOptions,
  fail: (name: string) => (error: unknown) => void,
): Readonly<Record<LogFileKey, RotatingFile>> {
  const open = (name: string): RotatingFile =>
    new RotatingFile({
      path: join(directory, name),
      onFailure: fail(name),
      ...(maxBytes === undefined ? {} : { maxBytes }),
      ...(backups === undefined ? {} : { backups }),
    });
  const { app, access, errors, syslog } = logFileNames;
  return { app: open(app), access: open(access), errors: open(errors), syslog: open(syslog) };
}

function channelOf(fields: unknown): unknown {
  return typeof fields === "object" && fields !== null && "channel" in fields ? fields.channel : undefined;
}

async function report({ stats }: RotatingFile): Promise<LogFileReport> {
  const folder = join(stats.path, "..");
  const prefix = `${basename(stats.path)}.`;
  // A folder that can't be read holds no backups that could be reported; stats.problem says what is wrong.
  const names = await readdir(folder).catch(() => []);
  const backups = await Promise.all(
    names
      .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
      .sort((a, b) => Number(a.slice(prefix.length)) - Number(b.slice(prefix.length)))
      .map(async (name) => {
        const path = join(folder, name);
        // Rotated away between the two calls.
        const size = await stat(path).then(
          (info) => info.size,
          () => 0,
        );
        return { path, bytes: size };
      }),
  );
  const { lastWriteAt, ...rest } = stats;
  return { ...rest, last_write: lastWriteAt === null ? null : new Date(lastWriteAt * 1000).toISOString(), backups };
}
