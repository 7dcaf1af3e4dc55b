import type { Range } from "../range.ts";
import type { ByteStream } from "./byte-stream.ts";
import { receiveFrame, sendFrame } from "./frames.ts";
import { Adder, HalfSegment, receiveSegment, segmentLength, segments, sendSegment } from "./segments.ts";

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
export async function ringAllReduce(data: Float32Array, place: RingPlace): Promise<void> {
  const { rank, worldSize, next, previous } = place;
  const chunk = chunksOf(data.length, worldSize);
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

/**
 * The same with float16 numbers on the way. What a process takes away from a number when it rounds it before it sends it
 * on, it keeps in `residual` and adds to its own number the next time (error feedback, Seide et al. 2014, at every hop):
 * over many sums nothing is lost. Each process rounds each number once.
 */
export async function ringAllReduceHalves(
  data: Float32Array,
  residual: Float32Array,
  { rank, worldSize, next, previous }: RingPlace,
): Promise<void> {
  const chunk = chunksOf(data.length, worldSize);
  const scratch = new Float32Array(segmentLength);
  const rounds = 2 * (worldSize - 1);
  for (let i = 0; i < data.length; i++) data[i]! += residual[i]!;
  for (const segment of segments(chunk(rank))) {
    const half = new HalfSegment(segment);
    half.encode(data.subarray(segment.start, segment.end), residual.subarray(segment.start, segment.end));
    half.send(next, data.length);
  }
  for (let round = 0; round < rounds; round++) {
    for (const segment of segments(chunk(rank - round - 1))) {
      const half = new HalfSegment(segment);
      await half.receive(previous, data.length);
      const own = data.subarray(segment.start, segment.end);
      if (round < worldSize - 1) {
        const received = scratch.subarray(0, own.length);
        half.decode(received);
        for (let i = 0; i < own.length; i++) own[i]! += received[i]!;
        const onward = new HalfSegment(segment);
        onward.encode(own, residual.subarray(segment.start, segment.end));
        // The sum is whole here: what the others get is what it is.
        if (round === worldSize - 2) onward.decode(own);
        onward.send(next, data.length);
      } else {
        half.decode(own);
        if (round < rounds - 1) half.send(next, data.length);
      }
    }
  }
  await next.flushed();
}

/** Equal parts of the data, one for each process; indices are taken modulo their number. */
function chunksOf(length: number, worldSize: number): (index: number) => Range {
  return (index) => {
    const at = ((index % worldSize) + worldSize) % worldSize;
    return { start: Math.floor((length * at) / worldSize), end: Math.floor((length * (at + 1)) / worldSize) };
  };
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
