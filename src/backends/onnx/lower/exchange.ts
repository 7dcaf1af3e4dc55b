import type { Lowering } from "../lowering.ts";
import { nchwc } from "./blocked-affine.ts";

/** Square blocks, each transposed: `count` of them. */
export function exchangedInside({ writer, block }: Lowering, blocks: string, count: number): string {
  return writer.op("ReorderOutput", [writer.reshape(blocks, [count, block, block, 1])], { channels: block }, nchwc);
}

/** Filters [taps][O/B, I/B, B(i), B(o)] as [taps][I/B, O/B, B(o), B(i)]. */
export function exchangedBlocks(
  lowering: Lowering,
  filters: string,
  [taps, o, i]: readonly [number, number, number],
): string {
  const { writer, block } = lowering;
  const [ob, ib] = [o / block, i / block];
  const ordered = writer.transpose(writer.reshape(filters, [taps, ob, ib, block * block]), [0, 2, 1, 3]);
  return exchangedInside(lowering, ordered, taps * ob * ib);
}

/**
 * Blocked images [groups, channels, positions] with the two exchanged: [1, groups * positions, channels, 1], blocked
 * along the positions. Both counts are multiples of the block.
 */
export function positionsAsChannels(
  lowering: Lowering,
  image: string,
  { groups, channels, positions }: Record<"groups" | "channels" | "positions", number>,
): string {
  const { writer, block } = lowering;
  const [across, along] = [channels / block, positions / block];
  const turned = exchangedInside(lowering, image, groups * across * along);
  const ordered =
    across === 1
      ? turned
      : writer.transpose(writer.reshape(turned, [groups, across, along, block * block]), [0, 2, 1, 3]);
  return writer.reshape(ordered, [1, groups * positions, channels, 1]);
}
