import type { ByteStream } from "./byte-stream.ts";
import { Adder, receiveSegment, segments, sendSegment } from "./segments.ts";

/** A place in a binary tree of processes whose root is rank 0. */
export interface TreePlace {
  /** Undefined for the root. */
  readonly parent: ByteStream | undefined;
  readonly children: readonly ByteStream[];
}

/** Ranks of the parent and the children of a rank. */
export function treeNeighbours(
  rank: number,
  worldSize: number,
): { readonly parent: number | undefined; readonly children: readonly number[] } {
  const children = [2 * rank + 1, 2 * rank + 2].filter((child) => child < worldSize);
  return { parent: rank === 0 ? undefined : (rank - 1) >> 1, children };
}

/**
 * Sums on the way up to the root, copies on the way down: twice the depth of the tree in messages, so it is the faster
 * way for few numbers. Segments follow each other through the tree.
 */
export async function treeAllReduce(data: Float32Array, { parent, children }: TreePlace): Promise<void> {
  const adder = new Adder();
  const whole = { start: 0, end: data.length };
  for (const segment of segments(whole)) {
    for (const child of children) await adder.receive(child, data, segment);
    if (parent !== undefined) sendSegment(parent, data, segment);
    else for (const child of children) sendSegment(child, data, segment);
  }
  if (parent !== undefined) {
    for (const segment of segments(whole)) {
      await receiveSegment(parent, data, segment);
      for (const child of children) sendSegment(child, data, segment);
    }
  }
  for (const child of children) await child.flushed();
  await parent?.flushed();
}
