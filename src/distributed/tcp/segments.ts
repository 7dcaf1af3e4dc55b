import { PipelineError } from "../../base/errors.ts";
import { piecesOf, type Range } from "../range.ts";
import type { ByteStream } from "./byte-stream.ts";
import { fromHalves, toHalves } from "./halves.ts";

/** Floats that travel in one segment: small enough to be added while the next ones arrive. */
export const segmentLength = 65_536;
/** Bytes of the segment, floats of the whole sum that it belongs to. */
const headerBytes = 12;

/** The pieces in which a range travels: the same for sender and receiver. */
export function segments(range: Range): Generator<Range> {
  return piecesOf(range, segmentLength);
}

export function sendSegment(stream: ByteStream, data: Float32Array, range: Range): void {
  const bytes = bytesOf(data, range);
  sendHeader(stream, bytes.length, data.length);
  stream.write(bytes);
}

/** Fills a range of the data. @throws PEER_REFUSED where the other process sums other numbers of floats, PEER_LOST */
export async function receiveSegment(stream: ByteStream, data: Float32Array, range: Range): Promise<void> {
  await receiveInto(stream, bytesOf(data, range), data.length);
}

/** Memory for one segment that is added to what is there. */
export class Adder {
  readonly #scratch = new Float32Array(segmentLength);

  /** @throws as receiveSegment */
  async receive(stream: ByteStream, data: Float32Array, { start, end }: Range): Promise<void> {
    const scratch = this.#scratch.subarray(0, end - start);
    await receiveInto(stream, bytesOf(scratch, { start: 0, end: end - start }), data.length);
    const target = data.subarray(start, end);
    for (let i = 0; i < target.length; i++) target[i]! += scratch[i]!;
  }
}

/** A segment as float16 numbers: four bytes of their exponent before them. */
export class HalfSegment {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #halves: Uint16Array;
  readonly #exponent: Int32Array;

  constructor({ start, end }: Range) {
    this.bytes = new Uint8Array(4 + 2 * (end - start));
    this.#exponent = new Int32Array(this.bytes.buffer, 0, 1);
    this.#halves = new Uint16Array(this.bytes.buffer, 4);
  }

  /** @param lost gets what each number loses */
  encode(values: Float32Array, lost: Float32Array): void {
    this.#exponent[0] = toHalves(values, this.#halves, lost);
  }

  decode(values: Float32Array): void {
    fromHalves(this.#halves, this.#exponent[0]!, values);
  }

  /** @param total floats of the whole sum */
  send(stream: ByteStream, total: number): void {
    sendHeader(stream, this.bytes.length, total);
    stream.write(this.bytes);
  }

  /** @throws as receiveSegment */
  receive(stream: ByteStream, total: number): Promise<void> {
    return receiveInto(stream, this.bytes, total);
  }
}

/** Bytes of a range of floats, without a copy. */
function bytesOf(data: Float32Array, { start, end }: Range): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset + 4 * start, 4 * (end - start));
}

function sendHeader(stream: ByteStream, bytes: number, total: number): void {
  const header = new DataView(new ArrayBuffer(headerBytes));
  header.setUint32(0, bytes);
  header.setFloat64(4, total);
  stream.write(new Uint8Array(header.buffer));
}

async function receiveInto(stream: ByteStream, target: Uint8Array, total: number): Promise<void> {
  const header = new DataView(new ArrayBuffer(headerBytes));
  await stream.read(new Uint8Array(header.buffer));
  const [bytes, theirs] = [header.getUint32(0), header.getFloat64(4)];
  if (theirs !== total) {
    // Where the other one waits for an answer, this tells it as much.
    sendHeader(stream, 0, total);
    throw differentWork(`the sum of ${theirs} floats in another process meets one of ${total} here`, { theirs, total });
  }
  if (bytes !== target.length)
    throw differentWork(`${bytes} bytes of a sum came where ${target.length} were expected`, { bytes });
  await stream.read(target);
}

function differentWork(what: string, details: Readonly<Record<string, number>>): PipelineError {
  return new PipelineError("PEER_REFUSED", what, {
    remedy: "give all processes the same configuration, and run the same version of the program",
    details,
  });
}
