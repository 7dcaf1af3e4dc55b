import { PipelineError } from "../../base/errors.ts";
import type { ByteStream } from "./byte-stream.ts";

const headerBytes = 4;

/** Sends a frame: its length in four bytes, then its bytes. */
export function sendFrame(stream: ByteStream, payload: Uint8Array): void {
  const header = new Uint8Array(headerBytes);
  new DataView(header.buffer).setUint32(0, payload.length);
  stream.write(header);
  if (payload.length > 0) stream.write(payload);
}

/** @throws PEER_REFUSED for a frame that is longer than allowed, PEER_LOST */
export async function receiveFrame(stream: ByteStream, maxBytes: number): Promise<Uint8Array> {
  const length = await receiveLength(stream);
  if (length > maxBytes) {
    stream.destroy();
    throw new PipelineError("PEER_REFUSED", `a frame of ${length} bytes was announced, ${maxBytes} are allowed here`, {
      remedy: "run the same version of the program in all processes",
      details: { length, maxBytes },
    });
  }
  const payload = new Uint8Array(length);
  await stream.read(payload);
  return payload;
}

async function receiveLength(stream: ByteStream): Promise<number> {
  const header = new Uint8Array(headerBytes);
  await stream.read(header);
  return new DataView(header.buffer).getUint32(0);
}

export function sendJson(stream: ByteStream, message: unknown): void {
  sendFrame(stream, new TextEncoder().encode(JSON.stringify(message, wrapNumber)));
}

/** @throws PEER_REFUSED for what is no JSON or too long, PEER_LOST */
export async function receiveJson(stream: ByteStream, maxBytes: number): Promise<unknown> {
  const bytes = await receiveFrame(stream, maxBytes);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes), unwrapNumber);
  } catch (cause) {
    stream.destroy();
    throw new PipelineError("PEER_REFUSED", "another process sent a message that is no JSON", { cause });
  }
}

/** JSON has no NaN and no infinities: a training that diverges tells of them all the same. */
const wrapped = "$number";

function wrapNumber(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? { [wrapped]: String(value) } : value;
}

function unwrapNumber(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || !(wrapped in value)) return value;
  return Number(value[wrapped]);
}
