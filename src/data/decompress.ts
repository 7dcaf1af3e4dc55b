import { open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { ReadableStream } from "node:stream/web";
import { createGunzip } from "node:zlib";
import xz from "xz-decompress";
import { PipelineError } from "../base/errors.ts";

type Bytes = AsyncIterable<Uint8Array>;

/** Results of xz-embedded's decoder other than success. */
const xzErrors: Readonly<Record<string, string>> = {
  3: "not enough memory for its dictionary",
  4: "its dictionary is larger than allowed",
  5: "it is not in xz format",
  6: "it uses xz options that cannot be read here: compress it again with `xz --check=crc64`",
  7: "its compressed data is damaged",
  8: "it is truncated",
};

const formats = {
  gzip: { magic: [0x1f, 0x8b], decompress: gunzip },
  xz: { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], decompress: unxz },
} as const;

/**
 * The decompressor that fits a file's first bytes; its name does not matter.
 * @throws DATA_UNAVAILABLE when the file can't be opened, DATA_FOREIGN when it is neither gzip nor xz.
 */
export async function decompressorFor(path: string): Promise<(compressed: Bytes) => Bytes> {
  const head = new Uint8Array(6);
  try {
    await using file = await open(path, "r");
    await file.read(head, 0, head.length, 0);
  } catch (cause) {
    throw new PipelineError("DATA_UNAVAILABLE", `cannot read ${path}`, {
      remedy: "check the path and its permissions",
      cause,
    });
  }
  for (const { magic, decompress } of Object.values(formats)) {
    if (magic.every((byte, i) => head[i] === byte)) return decompress;
  }
  const hex = Buffer.from(head).toString("hex");
  throw new PipelineError("DATA_FOREIGN", `${path} is neither gzip nor xz: byte offset 0 holds ${hex}`, {
    remedy: "give a .tar.gz or .tar.xz archive or an unpacked folder",
    details: { file: path, offset: 0 },
  });
}

async function* gunzip(compressed: Bytes): AsyncGenerator<Uint8Array> {
  const unzip = createGunzip({ chunkSize: 256 * 1024 });
  // A failure destroys `unzip`, so that it shows below too.
  pipeline(compressed, unzip).catch(() => undefined);
  yield* unzip as Bytes;
}

async function* unxz(compressed: Bytes): AsyncGenerator<Uint8Array> {
  try {
    const input = ReadableStream.from(compressed) as unknown as globalThis.ReadableStream<Uint8Array>;
    for await (const chunk of new xz.XzReadableStream(input) as unknown as Bytes) if (chunk.length > 0) yield chunk;
  } catch (cause) {
    const result = cause instanceof Error ? /error code (\d+)/.exec(cause.message)?.[1] : undefined;
    if (result === undefined) throw cause;
    throw new Error(xzErrors[result] ?? `the xz decoder gave result ${result}`, { cause });
  }
}
