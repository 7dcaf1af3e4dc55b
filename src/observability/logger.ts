import { pino } from "pino";

export type Logger = pino.Logger;

export type LogLevel = pino.Level | "silent";

export interface LoggerOptions {
  /** On every line, to tell services apart; default "cifar10-api". */
  readonly service?: string;
  readonly level?: LogLevel;
  /** Default: standard output, unbuffered, so that nothing is lost at exit. */
  readonly stream?: pino.DestinationStream;
}

/** Fields whose values never reach a log, at the top of a line and in the two levels below it. */
const secretFields = [
  "authorization",
  "cookie",
  "set-cookie",
  "x-api-key",
  "api_key",
  "apiKey",
  "password",
  "secret",
  "token",
  // Of a part of a form.
  "filename",
];

/** Structured logger: one JSON object a line, ISO time, level by name, secrets redacted. */
export function createLogger({ service = "cifar10-api", level = "info", stream }: LoggerOptions = {}): Logger {
  return pino(
    {
      level,
      base: { service, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: secretFields.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`]),
        censor: "[redacted]",
      },
    },
    stream ?? pino.destination({ dest: 1, sync: true }),
  );
}
