import type { Config } from "../config/schema.ts";
import type { Bundle } from "../inference/bundle.ts";
import type { Logger } from "../observability/logger.ts";
import { type RunningServer, startServer } from "../serving/server.ts";
import { onInterrupt } from "./interrupt.ts";
import { note, type Terminal } from "./terminal.ts";
import { packageVersion } from "./version.ts";

export interface ServeOptions {
  readonly config: Config;
  readonly bundle: Bundle;
  readonly logger: Logger;
  readonly onListening: (server: RunningServer) => void;
}

/** Serves a bundle until Ctrl-C or SIGTERM; requests that have arrived are answered before the end. */
export async function serveUntilStopped(terminal: Terminal, options: ServeOptions): Promise<void> {
  const { config, bundle, logger, onListening } = options;
  const { serving } = config;
  using interrupt = onInterrupt(terminal, "stopping: finishing the requests that have arrived …");
  await using server = await startServer({
    bundlePath: bundle.directory,
    host: serving.host,
    port: serving.port,
    workers: serving.workers,
    maxBatchSize: serving.max_batch_size,
    maxDelayMs: serving.max_delay_ms,
    queueLimit: serving.queue_limit,
    maxUploadBytes: serving.max_upload_bytes,
    logger,
    version: packageVersion(),
  });
  onListening(server);
  const { signal } = interrupt;
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  // Ends here: the server answers what it has and closes.
  note(terminal, "stopped");
}
