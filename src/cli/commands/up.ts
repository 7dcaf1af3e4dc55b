import type { Command } from "commander";
import { statementOf } from "../../base/error-transfer.ts";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { fetchConfiguredDataset } from "../../experiments/configured-dataset.ts";
import { modelsDirectory } from "../../experiments/run-folder.ts";
import { type Bundle, newestBundle, readBundle } from "../../inference/bundle.ts";
import { createLogger } from "../../observability/logger.ts";
import { trackingTarget } from "../../tracking/open.ts";
import { startTrackingServer, type TrackingServer } from "../../tracking/server/server.ts";
import { checkAddress } from "../check-address.ts";
import { notePassedOver } from "../choose-bundle.ts";
import { addConfigOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { percent } from "../display/format.ts";
import { dataDisplay } from "../display/progress.ts";
import { print, type Terminal } from "../display/terminal.ts";
import { trainWithDisplay } from "../display/train-with-display.ts";
import { syntheticNotice } from "../display/training-display.ts";
import { exitCodes } from "../failure.ts";
import { onInterrupt } from "../interrupt.ts";
import { serveUntilStopped } from "../serve-until-stopped.ts";
import { addressOverrides } from "./serve.ts";

interface UpArguments extends ConfigArguments {
  readonly train: boolean;
  readonly offline?: boolean;
  readonly host?: string;
  readonly port?: string;
}

export function addUpCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("up")
    .description(
      "everything at once: get images, train a quick model when there is none, serve the newest, and the page of runs",
    )
    .option("--no-train", "only serve; fails where there is no model yet")
    .option("--offline", "never touch the network: without images, generated ones are used")
    .option("--host <address>", "address to listen on (default: serving.host, 127.0.0.1)")
    .option("--port <number>", "port to listen on (default: serving.port, 8000)")
    .option("--debug", "show where an error comes from");
  addConfigOptions(command).action(async (options: UpArguments) => {
    const loaded = load(terminal, options);
    const { config } = loaded;
    // Before minutes of training, not after them.
    await checkAddress(config.serving.host, config.serving.port);
    const newest = await newestBundle(modelsDirectory(config));
    notePassedOver(terminal, newest.damaged);
    const bundle = newest.bundle ?? (await train(terminal, loaded, options));
    if (bundle === undefined) return;
    await using tracking = await startTracking(terminal, loaded);
    await serveUntilStopped(terminal, {
      config,
      bundle,
      // Answered requests are not news here; `cifar serve` logs them all.
      consoleLevel: "warn",
      onListening: ({ url }) => announce(terminal, bundle, { url, tracking }),
      onStopping: () => void tracking?.close(),
    });
  });
}

const trackingPort = 5000;
const trackingPortsTried = 20;

/** The page of runs on port 5000 or the next free one; none where runs are recorded elsewhere. */
async function startTracking({ err }: Terminal, { config }: LoadedConfig): Promise<TrackingServer | undefined> {
  const target = trackingTarget(config.mlflow.tracking_uri, {});
  if (target.kind === "server") return undefined;
  const log = createLogger({ level: "warn", stream: err });
  for (let port = trackingPort; ; port++) {
    try {
      return await startTrackingServer({
        ...{ port, store: target.path, artifacts: target.artifactRoot, log },
        shutdownTimeoutMs: config.serving.shutdown_timeout_ms,
      });
    } catch (error) {
      if (!isPipelineError(error, "ADDRESS_UNAVAILABLE") || port >= trackingPort + trackingPortsTried) throw error;
    }
  }
}

/** Without a word on what to train, the quick preset. */
function load(terminal: Terminal, options: UpArguments, extra: readonly string[] = []): LoadedConfig {
  const preset = options.preset ?? (options.config === undefined ? "quick" : undefined);
  return loadArguments(terminal, {
    ...(options.config === undefined ? {} : { config: options.config }),
    ...(preset === undefined ? {} : { preset }),
    set: [...options.set, ...addressOverrides(options), ...extra],
  });
}

/** Undefined when Ctrl-C stopped it. */
async function train(terminal: Terminal, loaded: LoadedConfig, options: UpArguments): Promise<Bundle | undefined> {
  if (!options.train) {
    throw new PipelineError("BUNDLE_NOT_FOUND", `there is no model in ${modelsDirectory(loaded.config)} to serve`, {
      remedy: "leave out --no-train, or train one with `cifar train`",
    });
  }
  const source = await prepare(terminal, loaded, options);
  if (source === undefined) return undefined;
  const chosen = source === "synthetic" ? load(terminal, options, ["dataset.source=synthetic"]) : loaded;
  print(terminal, "there is no model yet: training a quick one");
  const outcome = await trainWithDisplay(terminal, { loaded: chosen, sourceName: "cifar up", json: false });
  if (outcome.bundle !== undefined) return readBundle(outcome.bundle.directory);
  terminal.status.code = exitCodes.interrupted;
  return undefined;
}

/** Gets the images, or says that generated ones take their place. Undefined when Ctrl-C stopped it. */
async function prepare(
  terminal: Terminal,
  { config }: LoadedConfig,
  { offline = false }: UpArguments,
): Promise<string | undefined> {
  const { source, name } = config.dataset;
  using interrupt = onInterrupt(terminal, "stopping …");
  const display = dataDisplay(terminal);
  const { signal } = interrupt;
  print(terminal, `images: ${source === "official" ? `${name}, official download` : source}`);
  try {
    await fetchConfiguredDataset(config, { offline, signal, onProgress: display.onProgress });
    return source;
  } catch (error) {
    display.stop();
    if (signal.aborted) {
      terminal.status.code = exitCodes.interrupted;
      return undefined;
    }
    // Images that somebody named must be used or refused; only the default may be replaced.
    if (!isPipelineError(error, "DATA_UNAVAILABLE") || source !== "official" || name !== "cifar10") throw error;
    print(terminal, `  ${statementOf(error)}`);
    print(terminal, "");
    print(terminal, `  USING ${syntheticNotice}.`);
    print(terminal, "  To use real images: put the archive cifar-10-binary.tar.gz (or .tar.xz) anywhere, delete the");
    print(terminal, `  folder ${modelsDirectory(config)}, and start with CIFAR_SOURCE=PATH npm start`);
    print(terminal, "");
    return "synthetic";
  } finally {
    display.stop();
  }
}

interface Places {
  readonly url: string;
  readonly tracking: TrackingServer | undefined;
}

function announce(terminal: Terminal, { metadata }: Bundle, { url, tracking }: Places): void {
  const { name, dataset, metrics } = metadata;
  const accuracy = metrics.test === undefined ? "" : `, test accuracy ${percent(metrics.test.accuracy)}`;
  print(terminal);
  print(terminal, `serving ${name}${accuracy}${dataset.synthetic ? "  [SYNTHETIC]" : ""}`);
  print(terminal, `  upload page    ${url}/`);
  print(terminal, `  documentation  ${url}/docs`);
  print(terminal, `  metrics        ${url}/metrics`);
  if (tracking !== undefined) {
    const moved = new URL(tracking.url).port === String(trackingPort) ? "" : ` (port ${trackingPort} is taken)`;
    print(terminal, `  experiments    ${tracking.url}/${moved}`);
  }
  print(terminal, `  prediction     curl -F file=@picture.png ${url}/predict`);
  if (dataset.synthetic) print(terminal, `note: trained on ${syntheticNotice}`);
  print(terminal, "Ctrl-C stops");
}
