import { type Tensor, tensor } from "../tensor/tensor.ts";
import { type EvaluationSource, logitsOfSource } from "./evaluate.ts";
import type { Peers } from "./peers.ts";

/** The logits of a whole source, each process having computed whole batches of them: the same bits in each. */
export async function logitsTogether(
  source: EvaluationSource,
  options: Parameters<typeof logitsOfSource>[1],
  { rank, worldSize, allGather }: Pick<Peers, "rank" | "worldSize" | "allGather">,
): Promise<Tensor<"float32">> {
  const { batchSize } = options;
  const batches = Math.ceil(source.count / batchSize);
  const firstRow = (of: number): number => Math.min(source.count, Math.floor((batches * of) / worldSize) * batchSize);
  const start = firstRow(rank);
  const own = await logitsOfSource(
    {
      count: firstRow(rank + 1) - start,
      views: source.views.map(({ weight, batch }) => ({ weight, batch: (at, size) => batch(start + at, size) })),
    },
    options,
  );
  const parts = await allGather(new Uint8Array(own.data.buffer, own.data.byteOffset, own.data.byteLength));
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  const data = new Float32Array(bytes.buffer);
  return tensor("float32", [source.count, data.length / source.count], data);
}
