import { PipelineError } from "./errors.ts";

/** The value of `key` in a map that must hold it. */
export function mustGet<K, V>(map: ReadonlyMap<K, V>, key: K, what: string): V {
  const value = map.get(key);
  if (value === undefined) throw new PipelineError("GRAPH_INVALID", `missing ${what}: ${String(key)}`);
  return value;
}
