import type { AddressInfo } from "node:net";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { PipelineError } from "../base/errors.ts";
import { type Bundle, type BundleListing, listBundles, readBundle } from "../inference/bundle.ts";
import { Classifier } from "../inference/classifier.ts";
import { createWorkerPredictor, splitCores } from "../inference/predictor.ts";
import { createLogger, type Logger } from "../observability/logger.ts";
import { createServiceMetrics } from "../observability/metrics.ts";
import { createSystemMonitor } from "../observability/system.ts";
import { createApp } from "./app.ts";
import { defaultServingLimits, type ServingLimits } from "./dependencies.ts";

export interface ServerOptions extends ServingLimits {
  readonly bundlePath: string;
  /** Folder whose bundles /models lists; default: the one that holds the bundle. */
  readonly modelsDirectory?: string;
  /** Default 127.0.0.1: reachable from this machine only. */
  readonly host?: string;
  /** Default 8000; 0 takes a free port. */
  readonly port?: number;
  /** Worker threads with a copy of the model each, and threads within each; default: see splitCores. */
  readonly workers?: number;
  readonly threads?: number;
  readonly maxBatchSize?: number;
  readonly maxDelayMs?: number;
  readonly queueLimit?: number;
  readonly logger?: Logger;
  /** Version of the program, shown in /health and /docs. */
  readonly version?: string;
}

export interface RunningServer extends AsyncDisposable {
  /** "http://127.0.0.1:8000", with the port that was really taken. */
  readonly url: string;
  readonly bundle: Bundle;
  /** Takes no new requests, answers those it has, ends the workers. Safe to call twice. */
  close(): Promise<void>;
}

/**
 * Checks the bundle, warms the model up, then listens.
 * @throws BUNDLE_NOT_FOUND, BUNDLE_DAMAGED, INFERENCE_UNAVAILABLE, ADDRESS_UNAVAILABLE
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { host = "127.0.0.1", port = 8000, maxBatchSize = 32, version = "0.0.0" } = options;
  const logger = options.logger ?? createLogger();
  const split = splitCores(availableParallelism());
  const workers = options.workers ?? split.workers;
  const threads = options.threads ?? Math.max(1, Math.floor(availableParallelism() / workers));
  const bundle = await readBundle(options.bundlePath);
  const { metadata } = bundle;

  await using stack = new AsyncDisposableStackCompat();
  const predictor = stack.use(
    await createWorkerPredictor({
      modelPath: bundle.modelPath,
      preprocessing: metadata.preprocessing,
      classCount: metadata.classes.length,
      workers,
      threads,
      warmUpBatchSizes: [1, maxBatchSize],
      onCrash: (error) => logger.error({ err: error }, "inference worker crashed; restarting it"),
    }),
  );
  const classifier = stack.use(
    new Classifier({
      predictor,
      metadata,
      concurrency: workers,
      maxBatchSize,
      ...pick(options, ["maxDelayMs", "queueLimit"]),
      imageLimits: {
        maxBytes: options.maxUploadBytes ?? defaultServingLimits.maxUploadBytes,
        maxPixels: options.maxPixels ?? defaultServingLimits.maxPixels,
      },
    }),
  );
  const system = createSystemMonitor({ diskPath: bundle.directory });
  const app = await createApp({
    bundle,
    classifier,
    listModels: cachedListing(options.modelsDirectory ?? dirname(bundle.directory)),
    metrics: createServiceMetrics({ system }),
    system,
    logger,
    version,
    limits: pick(options, Object.keys(defaultServingLimits) as (keyof ServingLimits)[]),
  });
  stack.use({ [Symbol.asyncDispose]: () => app.close() });
  try {
    await app.listen({ host, port });
  } catch (cause) {
    throw addressError(cause, host, port);
  }
  const address = app.server.address() as AddressInfo;
  const url = `http://${hostInUrl(host)}:${address.port}`;
  logger.info({ url, model: metadata.name, workers, threads, maxBatchSize }, "listening");

  const resources = stack.move();
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= resources[Symbol.asyncDispose]();
    return closing;
  };
  return { url, bundle, close, [Symbol.asyncDispose]: close };
}

/** The listing of a folder, read at most every five seconds. */
function cachedListing(root: string): () => Promise<BundleListing> {
  let last: { readonly at: number; readonly listing: Promise<BundleListing> } | undefined;
  return () => {
    if (last === undefined || performance.now() - last.at > 5000) {
      const entry = { at: performance.now(), listing: listBundles(root, { check: "metadata" }) };
      entry.listing.catch(() => {
        // The caller sees the error; the next call tries again.
        if (last === entry) last = undefined;
      });
      last = entry;
    }
    return last.listing;
  };
}

function addressError(cause: unknown, host: string, port: number): unknown {
  const code = (cause as NodeJS.ErrnoException).code;
  const reasons: Partial<Record<string, string>> = {
    EADDRINUSE: "another program uses it",
    EACCES: "this user may not use it",
    EADDRNOTAVAIL: "this machine has no such address",
    ENOTFOUND: "the host name is unknown",
  };
  const reason = code === undefined ? undefined : reasons[code];
  if (reason === undefined) return cause;
  return new PipelineError("ADDRESS_UNAVAILABLE", `cannot listen on ${host} port ${port}: ${reason}`, {
    remedy: "choose another with --port or --host",
    details: { host, port },
    cause,
  });
}

/** A wildcard address is no address to visit. */
function hostInUrl(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "localhost";
  return host.includes(":") ? `[${host}]` : host;
}

function pick<T extends object, K extends keyof T>(source: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.filter((key) => source[key] !== undefined).map((key) => [key, source[key]])) as Pick<
    T,
    K
  >;
}

/** AsyncDisposableStack, which Node 20 lacks: disposes in reverse order, all of them, and reports the first failure. */
class AsyncDisposableStackCompat implements AsyncDisposable {
  #resources: AsyncDisposable[] = [];

  use<T extends AsyncDisposable>(resource: T): T {
    this.#resources.push(resource);
    return resource;
  }

  /** Hands the resources over: this stack disposes nothing any more. */
  move(): AsyncDisposableStackCompat {
    const moved = new AsyncDisposableStackCompat();
    moved.#resources = this.#resources;
    this.#resources = [];
    return moved;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const errors: unknown[] = [];
    for (const resource of this.#resources.splice(0).reverse()) {
      try {
        await resource[Symbol.asyncDispose]();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
