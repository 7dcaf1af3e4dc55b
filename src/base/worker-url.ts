import "./no-telemetry.ts";

/**
 * Address of a worker's compiled entry. Workers load JavaScript, so a caller that runs from the sources (a test)
 * is pointed at the build beside them.
 * @param entry path below src/ without extension, such as "workers/training-worker"
 */
export function workerUrl(entry: string): URL {
  const here = import.meta.url;
  const root = here.endsWith(".ts") ? new URL("../../dist/", here) : new URL("../", here);
  return new URL(`${entry}.js`, root);
}
