import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { PipelineError } from "../../base/errors.ts";
import type { ByteStream } from "./byte-stream.ts";

/** What a connection is for: a proof for one purpose is none for the other. */
export type Purpose = "control" | "data";

export interface HandshakeOptions {
  readonly secret: string;
  readonly purpose: Purpose;
}

const nonceBytes = 32;
const macBytes = 32;
const greeting = new TextEncoder().encode("cifar-pipeline 1\n");

/**
 * Mutual challenge and response (HMAC-SHA-256 over both nonces): each side proves that it knows the secret, which never
 * travels. What follows is neither encrypted nor signed: use a private network or a tunnel between hosts.
 * @throws PEER_REFUSED when the other side does not know the secret, PEER_LOST
 */
export async function greet(stream: ByteStream, { secret, purpose }: HandshakeOptions): Promise<void> {
  const own = randomBytes(nonceBytes);
  stream.write(greeting);
  stream.write(own);
  const answer = new Uint8Array(nonceBytes + macBytes);
  await stream.read(answer);
  const other = answer.subarray(0, nonceBytes);
  const proof = proofOf(secret, [`listener ${purpose}`, own, other]);
  if (!timingSafeEqual(proof, answer.subarray(nonceBytes))) {
    stream.destroy();
    throw refused("the other side");
  }
  stream.write(proofOf(secret, [`caller ${purpose}`, other, own]));
}

/** The listening side of `greet`. */
export async function welcome(stream: ByteStream, { secret, purpose }: HandshakeOptions): Promise<void> {
  const opening = new Uint8Array(greeting.length + nonceBytes);
  await stream.read(opening);
  if (!greeting.every((byte, i) => byte === opening[i])) {
    stream.destroy();
    throw new PipelineError("PEER_REFUSED", "a caller does not speak the protocol of this version");
  }
  const other = opening.subarray(greeting.length);
  const own = randomBytes(nonceBytes);
  stream.write(own);
  stream.write(proofOf(secret, [`listener ${purpose}`, other, own]));
  const answer = new Uint8Array(macBytes);
  await stream.read(answer);
  if (!timingSafeEqual(proofOf(secret, [`caller ${purpose}`, own, other]), answer)) {
    stream.destroy();
    throw refused("a caller");
  }
}

function proofOf(secret: string, parts: readonly (string | Uint8Array)[]): Uint8Array {
  const mac = createHmac("sha256", secret);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

function refused(who: string): PipelineError {
  return new PipelineError("PEER_REFUSED", `${who} does not know the secret of this training`, {
    remedy: "give all processes the same CIFAR_DISTRIBUTED_SECRET",
  });
}
