import { crc32, deflateRawSync } from "node:zlib";

export interface ZipEntry {
  /** With "/" between folders. */
  readonly path: string;
  readonly data: Uint8Array;
}

/** 1980-01-01, the first date that the format knows: the same files always give the same bytes. */
const date = 0x21;
/** Names in UTF-8. */
const flags = 0x0800;
const version = 20;
const deflated = 8;
const regularFile = 0o100644;

/** A ZIP archive of files below 4 GiB in all (PKWARE, APPNOTE 6.3). */
export function writeZip(entries: readonly ZipEntry[]): Uint8Array {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { path, data } of entries) {
    const name = Buffer.from(path);
    const packed = deflateRawSync(data);
    // What the entry's own header and that of the directory have in common.
    const common = Buffer.alloc(26);
    for (const [at, value] of [
      [0, version],
      [2, flags],
      [4, deflated],
      [8, date],
      [22, name.length],
    ] as const)
      common.writeUInt16LE(value, at);
    for (const [at, value] of [
      [10, crc32(data)],
      [14, packed.length],
      [18, data.length],
    ] as const)
      common.writeUInt32LE(value, at);
    const local = Buffer.concat([signature(0x04034b50), common, name, packed]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(regularFile * 0x10000, 6);
    tail.writeUInt32LE(offset, 10);
    // Made by a Unix program, so that the mode counts.
    directory.push(Buffer.concat([signature(0x02014b50), Buffer.from([version, 3]), common, tail, name]));
    parts.push(local);
    offset += local.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(listing.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...parts, listing, signature(0x06054b50), end]);
}

function signature(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
