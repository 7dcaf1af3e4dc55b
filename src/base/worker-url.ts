import { builtUrl } from "./built-url.ts";
import "./no-telemetry.ts";

/**
 * Address of a worker's compiled entry: workers load JavaScript.
 * @param entry path below src/ without extension, such as "workers/training-worker"
 */
export function workerUrl(entry: string): URL {
  return builtUrl(`${entry}.js`);
}
