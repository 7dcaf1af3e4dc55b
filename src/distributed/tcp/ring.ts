import type { Range } from "../range.ts";
import type { ByteStream } from "./byte-stream.ts";
import { receiveFrame, sendFrame } from "./frames.ts";
import { Adder, receiveSegment, segments, sendSegment } from "./segments.ts";

/** A place in a ring of processes. */
export interface RingPlace {
  readonly rank: number;
  readonly worldSize: number;
  readonly next: ByteStream;
  readonly previous: ByteStream;
}

/**
 * Ring all-reduce (Patarasuk and Yuan 2009): each process sends 2 (P - 1) / P of the data whatever their number P. The
 * data are P chunks; each goes once round the ring being summed and a second time being copied. A segment is sent on as
 * soon as it is there. Each chunk is summed in one place, so all processes get the same bits.
 */
export async function ringAllReduce(data: Float32Array, { rank, worldSize, next, previous }: RingPlace): Promise<void> {
  const chunk = (index: number): Range => {
    const at = ((index % worldSize) + worldSize) % worldSize;
    return {
      start: Math.floor((data.length * at) / worldSize),
      end: Math.floor((data.length * (at + 1)) / worldSize),
    };
  };
  const adder = new Adder();
  const rounds = 2 * (worldSize - 1);
  for (const segment of segments(chunk(rank))) sendSegment(next, data, segment);
  for (let round = 0; round < rounds; round++) {
    for (const segment of segments(chunk(rank - round - 1))) {
      if (round < worldSize - 1) await adder.receive(previous, data, segment);
      else await receiveSegment(previous, data, segment);
      if (round < rounds - 1) sendSegment(next, data, segment);
    }
  }
  await next.flushed();
}

/** The bytes of one process go round the ring. */
export async function ringBroadcast(data: Uint8Array, root: number, place: RingPlace): Promise<Uint8Array> {
  const { rank, worldSize, next, previous } = place;
  const bytes = rank === root ? data : await receiveFrame(previous, maxBroadcastBytes);
  if ((rank + 1) % worldSize !== root) {
    sendFrame(next, bytes);
    await next.flushed();
  }
  return bytes;
}

/** Everybody's bytes go round the ring. */
export async function ringAllGather(data: Uint8Array, place: RingPlace): Promise<Uint8Array[]> {
  const { rank, worldSize, next, previous } = place;
  const all = new Array<Uint8Array>(worldSize);
  all[rank] = data;
  for (let round = 0; round < worldSize - 1; round++) {
    sendFrame(next, all[(rank - round + worldSize) % worldSize]!);
    all[(rank - round - 1 + worldSize) % worldSize] = await receiveFrame(previous, maxBroadcastBytes);
  }
  await next.flushed();
  return all;
}

/** 2 GiB: above any checkpoint of the networks here. */
const maxBroadcastBytes = 2 ** 31 - 1;
