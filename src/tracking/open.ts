import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ArtifactAccess, defaultArtifactRoot, openArtifactStore } from "./artifacts.ts";
import { createHttpClient, type HttpOptions } from "./client/http.ts";
import { createRestArtifacts } from "./client/rest-artifacts.ts";
import { createRestStore } from "./client/rest-store.ts";
import { defaultStorePath, type TrackingStore } from "./store.ts";
import { invalid } from "./validation.ts";

export type Env = Readonly<Record<string, string | undefined>>;

/** Where runs are recorded. */
export type TrackingTarget =
  | { readonly kind: "store"; readonly path: string; readonly artifactRoot: string }
  | { readonly kind: "server"; readonly url: string; readonly authorization: string | undefined };

export interface Tracking extends AsyncDisposable {
  readonly store: TrackingStore;
  readonly artifacts: ArtifactAccess;
}

/**
 * Understands mlflow.tracking_uri: null or a path (the embedded store), sqlite:///…, postgresql://…, http(s)://… (any
 * MLflow server; MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN, in the environment).
 * @throws TRACKING_INVALID for what this program cannot write to, Databricks among it
 */
export function trackingTarget(uri: string | null, env: Env): TrackingTarget {
  if (uri === null) return { kind: "store", path: defaultStorePath, artifactRoot: defaultArtifactRoot };
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(uri)?.[1]?.toLowerCase();
  if (/^(databricks|databricks-uc|uc)(:|$)/i.test(uri))
    throw invalid(
      `mlflow.tracking_uri ${JSON.stringify(uri)}: Databricks is not supported`,
      "use a file, postgresql://… or the http(s):// address of an MLflow server; copy runs with `cifar track copy`",
    );
  switch (scheme) {
    case undefined:
      return stored(uri);
    case "sqlite":
      return stored(uri.slice("sqlite:///".length));
    case "file":
      return stored(fileURLToPath(uri));
    case "postgresql":
    case "postgres":
      return { kind: "store", path: uri, artifactRoot: defaultArtifactRoot };
    case "http":
    case "https":
      return { kind: "server", ...serverOf(uri, env) };
    default:
      throw invalid(
        `mlflow.tracking_uri ${JSON.stringify(uri)} has the unknown scheme ${scheme}`,
        "use a file, postgresql://… or the http(s):// address of an MLflow server",
      );
  }
}

function stored(path: string): TrackingTarget {
  const artifactRoot = path === defaultStorePath ? defaultArtifactRoot : join(dirname(path), "artifacts");
  return { kind: "store", path, artifactRoot };
}

function serverOf(uri: string, env: Env): { readonly url: string; readonly authorization: string | undefined } {
  const url = new URL(uri);
  const user = env.MLFLOW_TRACKING_USERNAME ?? decodeURIComponent(url.username);
  const password = env.MLFLOW_TRACKING_PASSWORD ?? decodeURIComponent(url.password);
  const token = env.MLFLOW_TRACKING_TOKEN;
  url.username = "";
  url.password = "";
  const basic = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  const bearer = token === undefined || token === "" ? undefined : `Bearer ${token}`;
  // As in MLflow's client: name and password win over a token.
  return { url: url.href.replace(/\/+$/, ""), authorization: user === "" ? bearer : basic };
}

/** @throws TRACKING_STORE_FAILED; a server is not asked yet */
export async function openTracking(
  target: TrackingTarget,
  http: Pick<HttpOptions, "retries" | "timeoutMs" | "signal" | "backoffMs"> = {},
): Promise<Tracking> {
  if (target.kind === "server") {
    const { url, authorization } = target;
    const client = createHttpClient({ ...http, url, ...(authorization === undefined ? {} : { authorization }) });
    const store = createRestStore(client);
    return { store, artifacts: createRestArtifacts(client), [Symbol.asyncDispose]: () => store.close() };
  }
  // Only here: the SQL builder and the drivers are a third of what a training would load.
  const { openSqlStore } = await import("./sql/store.ts");
  const store = await openSqlStore({ path: target.path });
  const artifacts = openArtifactStore({ root: target.artifactRoot });
  return { store, artifacts, [Symbol.asyncDispose]: () => store.close() };
}
