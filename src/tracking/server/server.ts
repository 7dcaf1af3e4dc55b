import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import type { Credentials } from "../../http/access/credentials.ts";
import { addressError, hostInUrl, isLoopback } from "../../http/address.ts";
import { boundedClose, defaultShutdownTimeoutMs } from "../../http/close-server.ts";
import { defaultArtifactRoot, openArtifactStore } from "../artifacts.ts";
import { openSqlStore } from "../sql/store.ts";
import { defaultStorePath } from "../store.ts";
import { createTrackingApp } from "./app.ts";
import type { ServerLog } from "./log.ts";

export interface TrackingServerOptions {
  /** Default 127.0.0.1: reachable from this machine only. */
  readonly host?: string;
  /** Default 5000; 0 takes a free port. */
  readonly port?: number;
  /** SQLite file or postgresql://…; default runs/tracking.sqlite. */
  readonly store?: string;
  /** Folder of the artifacts; default: "artifacts" beside the SQLite file. */
  readonly artifacts?: string;
  readonly credentials?: Credentials;
  readonly maxRequestBytes?: number;
  readonly maxArtifactBytes?: number;
  /** From close() to the end of what is still open; default 7 s. */
  readonly shutdownTimeoutMs?: number;
  readonly log?: ServerLog;
}

export interface TrackingServer extends AsyncDisposable {
  /** "http://127.0.0.1:5000", with the port that was really taken. */
  readonly url: string;
  /** Answers what has arrived, then closes the store. Safe to call twice. */
  close(): Promise<void>;
}

/** @throws TRACKING_STORE_FAILED, ADDRESS_UNAVAILABLE */
export async function startTrackingServer(options: TrackingServerOptions = {}): Promise<TrackingServer> {
  const { host = "127.0.0.1", port = 5000, store: path = defaultStorePath } = options;
  const store = await openSqlStore({ path });
  const artifacts = openArtifactStore({ root: options.artifacts ?? artifactsBeside(path) });
  try {
    const { credentials, maxRequestBytes, maxArtifactBytes, log } = options;
    const { shutdownTimeoutMs = defaultShutdownTimeoutMs } = options;
    const app = await createTrackingApp({
      store,
      artifacts,
      loopback: isLoopback(host) ? "yes" : "no",
      ...(credentials === undefined ? {} : { credentials }),
      ...(maxRequestBytes === undefined ? {} : { maxRequestBytes }),
      ...(maxArtifactBytes === undefined ? {} : { maxArtifactBytes }),
      ...(log === undefined ? {} : { log }),
    });
    const closeWithin = boundedClose(app.server);
    await app.listen({ host, port }).catch(async (cause: unknown) => {
      await app.close();
      throw addressError(cause, host, port);
    });
    const address = app.server.address() as AddressInfo;
    let closing: Promise<void> | undefined;
    const close = (): Promise<void> => {
      closing ??= closeWithin({ close: () => app.close(), timeoutMs: shutdownTimeoutMs }).then(() => store.close());
      return closing;
    };
    return { url: `http://${hostInUrl(host)}:${address.port}`, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Beside an SQLite file lie its artifacts; a database server has them in the folder of runs. */
export function artifactsBeside(store: string): string {
  if (store === defaultStorePath || store === ":memory:" || /^[a-z][a-z0-9+.-]+:\/\//i.test(store))
    return defaultArtifactRoot;
  return join(dirname(store), "artifacts");
}
