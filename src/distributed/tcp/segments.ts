import type { ByteStream } from "./byte-stream.ts";
import { receiveFrameInto, sendFrame } from "./frames.ts";

/** Floats that travel in one frame: small enough to be added while the next ones arrive. */
const segmentLength = 65_536;

export interface Range {
  readonly start: number;
  readonly end: number;
}

/** The pieces in which a range travels: the same for sender and receiver. */
export function* segments({ start, end }: Range): Generator<Range> {
  for (let from = start; from < end; from += segmentLength)
    yield { start: from, end: Math.min(end, from + segmentLength) };
}

/** Bytes of a range of floats, without a copy. */
export function bytesOf(data: Float32Array, { start, end }: Range): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset + 4 * start, 4 * (end - start));
}

export function sendSegment(stream: ByteStream, data: Float32Array, range: Range): void {
  sendFrame(stream, bytesOf(data, range));
}

export async function receiveSegment(stream: ByteStream, data: Float32Array, range: Range): Promise<void> {
  await receiveFrameInto(stream, bytesOf(data, range));
}

/** Memory for one segment that is added to what is there. */
export class Adder {
  readonly #scratch = new Float32Array(segmentLength);

  async receive(stream: ByteStream, data: Float32Array, { start, end }: Range): Promise<void> {
    const scratch = this.#scratch.subarray(0, end - start);
    await receiveSegment(stream, scratch, { start: 0, end: end - start });
    const target = data.subarray(start, end);
    for (let i = 0; i < target.length; i++) target[i]! += scratch[i]!;
  }
}
