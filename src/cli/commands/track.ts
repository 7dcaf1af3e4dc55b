import type { Command } from "commander";
import { PipelineError } from "../../base/errors.ts";
import { expandHome } from "../../base/home-path.ts";
import type { Credentials } from "../../http/access/credentials.ts";
import { isLoopback } from "../../http/address.ts";
import { createLogger } from "../../observability/logger.ts";
import { startTrackingServer } from "../../tracking/server/server.ts";
import { defaultStorePath } from "../../tracking/store.ts";
import { note, type Terminal } from "../display/terminal.ts";
import { onInterrupt } from "../interrupt.ts";
import { addTransferCommands } from "./track-transfer.ts";

interface TrackArguments {
  readonly host: string;
  readonly port: string;
  readonly store: string;
  readonly artifacts?: string;
  readonly maxArtifactBytes?: string;
  readonly shutdownTimeout?: string;
}

export function addTrackCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("track")
    .description("serve the runs: MLflow's REST API and a page; import, export, copy and sync move runs")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <number>", "port to listen on, 0 for any free one", "5000")
    .option("--store <place>", "SQLite file or postgresql://…", expandHome, defaultStorePath)
    .option("--artifacts <folder>", "folder of the artifacts (default: beside the SQLite file)", expandHome)
    .option("--max-artifact-bytes <number>", "largest artifact that is taken (default: 16 GiB)")
    .option("--shutdown-timeout <ms>", "from Ctrl-C to the end of what is still open (default: 7000)")
    .option("--debug", "show where an error comes from")
    .addHelpText(
      "after",
      `
A login: CIFAR_TRACKING_TOKEN, or CIFAR_TRACKING_USERNAME and CIFAR_TRACKING_PASSWORD in the environment. Clients give it
as MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.`,
    )
    .action(async (options: TrackArguments) => {
      const credentials = readCredentials(terminal.env);
      const { artifacts, maxArtifactBytes, shutdownTimeout } = options;
      using interrupt = onInterrupt(terminal, "stopping: finishing the requests that have arrived …");
      await using server = await startTrackingServer({
        host: options.host,
        port: wholeNumber("--port", options.port, 65_535),
        store: options.store,
        credentials,
        log: createLogger({ level: "warn", stream: terminal.err }),
        ...(artifacts === undefined ? {} : { artifacts }),
        ...(maxArtifactBytes === undefined
          ? {}
          : { maxArtifactBytes: wholeNumber("--max-artifact-bytes", maxArtifactBytes, Number.MAX_SAFE_INTEGER) }),
        ...(shutdownTimeout === undefined
          ? {}
          : { shutdownTimeoutMs: wholeNumber("--shutdown-timeout", shutdownTimeout, 600_000) }),
      });
      note(terminal, `tracking at ${server.url}, runs in ${withoutPassword(options.store)}; Ctrl-C stops`);
      note(terminal, `  MLflow's clients: MLFLOW_TRACKING_URI=${server.url}`);
      if (credentials.token === undefined && credentials.user === undefined && !isLoopback(options.host))
        note(terminal, "  warning: everybody who reaches this address can read and write; set CIFAR_TRACKING_TOKEN");
      await aborted(interrupt.signal);
      note(terminal, "stopped");
    });
  addTransferCommands(command, terminal);
}

/** @throws USAGE_INVALID for half a login */
function readCredentials(env: Terminal["env"]): Credentials {
  const { CIFAR_TRACKING_TOKEN: token, CIFAR_TRACKING_USERNAME: name, CIFAR_TRACKING_PASSWORD: password } = env;
  if ((name === undefined) !== (password === undefined))
    throw new PipelineError("USAGE_INVALID", "CIFAR_TRACKING_USERNAME and CIFAR_TRACKING_PASSWORD belong together", {
      remedy: "set both or none",
    });
  return {
    ...(token === undefined || token === "" ? {} : { token }),
    ...(name === undefined || password === undefined ? {} : { user: { name, password } }),
  };
}

function wholeNumber(option: string, text: string, largest: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= largest) return value;
  throw new PipelineError("USAGE_INVALID", `${option} ${text}`, { remedy: `give a whole number up to ${largest}` });
}

function withoutPassword(store: string): string {
  return store.replace(/\/\/[^@/]*@/, "//…@");
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
