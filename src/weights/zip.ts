import { crc32 } from "node:zlib";
import { damagedWeights } from "./damaged.ts";

/** The members of a zip archive by name. */
export type ZipMembers = ReadonlyMap<string, ZipMember>;

export interface ZipMember {
  readonly name: string;
  readonly size: number;
  /** Views on the archive's bytes. @throws WEIGHTS_DAMAGED when the CRC-32 is wrong */
  read(): Uint8Array;
}

/** Signatures and fixed sizes (PKWARE's APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.14 to 4.3.16). */
const localHeader = { signature: 0x04034b50, bytes: 30 };
const centralHeader = { signature: 0x02014b50, bytes: 46 };
const endRecord = { signature: 0x06054b50, bytes: 22 };
const zip64End = { signature: 0x06064b50, bytes: 56 };
const zip64Locator = { signature: 0x07064b50, bytes: 20 };
const maxComment = 0xffff;
const maxMembers = 100_000;
const ZIP64 = 0xffffffff;

/**
 * The directory of a zip archive of stored (not compressed) members, as torch.save writes them. Nothing is unpacked:
 * a member's bytes are a part of the archive's, so that a small archive can't become large. Members that overlap,
 * are encrypted, compressed or called the same are refused.
 * @throws WEIGHTS_DAMAGED
 */
export function readZip(archive: Uint8Array): ZipMembers {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  const { count, start, size } = findDirectory(bytes);
  if (count > maxMembers) throw damagedWeights(`the archive claims ${count} members, the limit is ${maxMembers}`);
  if (start + size > bytes.length) throw damagedWeights("the archive's directory lies beyond its end");
  const members = new Map<string, ZipMember>();
  const extents: { name: string; begin: number; end: number }[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const entry = readEntry(bytes, at, start + size);
    at = entry.next;
    if (members.has(entry.name)) throw damagedWeights(`two members are called ${quoted(entry.name)}`);
    const begin = dataStart(bytes, entry.name, entry.header);
    const end = begin + entry.size;
    if (end > start) throw damagedWeights(`${quoted(entry.name)} lies beyond the end of the data`);
    extents.push({ name: entry.name, begin: entry.header, end });
    members.set(entry.name, {
      name: entry.name,
      size: entry.size,
      read() {
        const data = bytes.subarray(begin, end);
        if (crc32(data) !== entry.crc)
          throw damagedWeights(`${quoted(entry.name)} has another CRC-32 than the archive says`);
        return data;
      },
    });
  }
  extents.sort((a, b) => a.begin - b.begin);
  extents.forEach(({ name, begin }, i) => {
    if (i > 0 && begin < extents[i - 1]!.end) throw damagedWeights(`${quoted(name)} overlaps another member`);
  });
  return members;
}

interface Directory {
  readonly count: number;
  readonly start: number;
  readonly size: number;
}

function findDirectory(bytes: Buffer): Directory {
  const last = bytes.length - endRecord.bytes;
  for (let at = last; at >= Math.max(0, last - maxComment); at--) {
    if (
      bytes.readUInt32LE(at) !== endRecord.signature ||
      at + endRecord.bytes + bytes.readUInt16LE(at + 20) !== bytes.length
    )
      continue;
    const directory = {
      count: bytes.readUInt16LE(at + 10),
      size: bytes.readUInt32LE(at + 12),
      start: bytes.readUInt32LE(at + 16),
    };
    return directory.count === 0xffff || directory.size === ZIP64 || directory.start === ZIP64
      ? findLargeDirectory(bytes, at)
      : directory;
  }
  throw damagedWeights("it is no zip archive, or a truncated one");
}

function findLargeDirectory(bytes: Buffer, end: number): Directory {
  const locator = end - zip64Locator.bytes;
  if (locator < 0 || bytes.readUInt32LE(locator) !== zip64Locator.signature) {
    throw damagedWeights("the archive lacks the place of its zip64 directory");
  }
  const at = safeNumber(bytes.readBigUInt64LE(locator + 8));
  if (at + zip64End.bytes > locator || bytes.readUInt32LE(at) !== zip64End.signature) {
    throw damagedWeights("the archive's zip64 directory is not where it should be");
  }
  return {
    count: safeNumber(bytes.readBigUInt64LE(at + 32)),
    size: safeNumber(bytes.readBigUInt64LE(at + 40)),
    start: safeNumber(bytes.readBigUInt64LE(at + 48)),
  };
}

interface Entry {
  readonly name: string;
  readonly size: number;
  readonly crc: number;
  /** Of the local header. */
  readonly header: number;
  readonly next: number;
}

function readEntry(bytes: Buffer, at: number, limit: number): Entry {
  if (at + centralHeader.bytes > limit || bytes.readUInt32LE(at) !== centralHeader.signature) {
    throw damagedWeights("the archive's directory is cut off");
  }
  const flags = bytes.readUInt16LE(at + 8);
  const method = bytes.readUInt16LE(at + 10);
  const nameBytes = bytes.readUInt16LE(at + 28);
  const extraBytes = bytes.readUInt16LE(at + 30);
  const next = at + centralHeader.bytes + nameBytes + extraBytes + bytes.readUInt16LE(at + 32);
  if (next > limit) throw damagedWeights("the archive's directory is cut off");
  const nameAt = at + centralHeader.bytes;
  const name = bytes.toString("utf8", nameAt, nameAt + nameBytes);
  if (flags & 1) throw damagedWeights(`${quoted(name)} is encrypted`);
  if (method !== 0) throw damagedWeights(`${quoted(name)} is compressed, which torch.save never does`);
  const narrow = {
    unpacked: bytes.readUInt32LE(at + 24),
    packed: bytes.readUInt32LE(at + 20),
    header: bytes.readUInt32LE(at + 42),
  };
  const { unpacked, packed, header } = widen(
    narrow,
    bytes.subarray(nameAt + nameBytes, nameAt + nameBytes + extraBytes),
  );
  if (unpacked !== packed) throw damagedWeights(`${quoted(name)} has two sizes, ${packed} and ${unpacked}`);
  return { name, size: unpacked, crc: bytes.readUInt32LE(at + 16), header, next };
}

/** Replaces the numbers that do not fit 32 bits by those of the zip64 field, in its order. */
function widen<T extends Record<"unpacked" | "packed" | "header", number>>(narrow: T, extra: Buffer): T {
  if (Object.values(narrow).every((value) => value !== ZIP64)) return narrow;
  for (let at = 0; at + 4 <= extra.length; ) {
    const size = extra.readUInt16LE(at + 2);
    const field = extra.subarray(at + 4, at + 4 + size);
    if (extra.readUInt16LE(at) === 1) {
      let offset = 0;
      const wide = Object.entries(narrow).map(([key, value]) => {
        if (value !== ZIP64) return [key, value];
        if (offset + 8 > field.length) throw damagedWeights("a zip64 field is cut off");
        offset += 8;
        return [key, safeNumber(field.readBigUInt64LE(offset - 8))];
      });
      return Object.fromEntries(wide) as T;
    }
    at += 4 + size;
  }
  throw damagedWeights("a zip64 field is missing");
}

function dataStart(bytes: Buffer, name: string, at: number): number {
  if (at + localHeader.bytes > bytes.length || bytes.readUInt32LE(at) !== localHeader.signature) {
    throw damagedWeights(`${quoted(name)} is not where the directory says`);
  }
  return at + localHeader.bytes + bytes.readUInt16LE(at + 26) + bytes.readUInt16LE(at + 28);
}

function safeNumber(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damagedWeights(`the archive speaks of ${value} bytes`);
  return Number(value);
}

/** Names come from the file: shortened and without control characters. */
function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}
