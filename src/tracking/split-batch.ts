import type { Batch } from "./store.ts";
import { trackingLimits as limits } from "./types.ts";

/** Cuts a batch into ones that keep to every limit: entries of each kind, entries together, bytes as JSON. */
export function splitBatch({ metrics = [], params = [], tags = [] }: Batch): Batch[] {
  return [
    ...pieces(params, limits.paramsPerBatch).map((piece) => ({ params: piece })),
    ...pieces(tags, limits.tagsPerBatch).map((piece) => ({ tags: piece })),
    ...pieces(metrics, limits.metricsPerBatch).map((piece) => ({ metrics: piece })),
  ];
}

/** Room for the id of the run and the names around the lists. */
const envelopeBytes = 1000;

function pieces<T>(items: readonly T[], most: number): T[][] {
  const all: T[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const size = Buffer.byteLength(JSON.stringify(item)) + 1;
    const last = all.at(-1);
    if (last === undefined || last.length >= most || bytes + size > limits.bytesPerBatch - envelopeBytes) {
      all.push([item]);
      bytes = size;
    } else {
      last.push(item);
      bytes += size;
    }
  }
  return all;
}
