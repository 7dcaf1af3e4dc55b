import type { Config } from "../config/schema.ts";
import { openTracking as openTarget, type Tracking, trackingTarget } from "../tracking/open.ts";
import { defaultStorePath } from "../tracking/store.ts";

/** The store or server that a configuration names; credentials of a server come from the environment. */
export function openTracking({ mlflow }: Config): Promise<Tracking> {
  return openTarget(trackingTarget(mlflow.tracking_uri, process.env));
}

/** The same store from any working folder, as a value of mlflow.tracking_uri. */
export function trackingUri({ mlflow }: Config, absolute: (path: string) => string): string {
  const uri = mlflow.tracking_uri ?? defaultStorePath;
  return /^[a-z][a-z0-9+.-]+:/i.test(uri) ? uri : absolute(uri);
}
