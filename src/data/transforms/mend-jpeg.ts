const startOfImage = 0xd8;
const endOfImage = 0xd9;
const startOfScan = 0xda;
const sequentialFrames: ReadonlySet<number> = new Set([0xc0, 0xc1]);
/** Far more than any camera or editor writes: a file of nothing but segments is not worth the time. */
const mostSegments = 2000;

export function isJpeg(bytes: Uint8Array): boolean {
  return bytes.length >= 3 && bytes[0] === 0xff && bytes[1] === startOfImage && bytes[2] === 0xff;
}

/**
 * A JPEG without the slips of some cameras that leave every pixel whole: stray bytes between segments are dropped, and
 * the parameters of a sequential scan, which decoders don't need, become the only ones that are allowed (0, 63, 0;
 * ITU T.81, B.2.3), and an unknown JFIF version becomes 1. Coded pixels are never touched. undefined: there is nothing of that kind to mend.
 */
export function mendJpeg(bytes: Uint8Array): Uint8Array | undefined {
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: Uint8Array[] = [source.subarray(0, 2)];
  let mended = false;
  let sequential = false;
  let at = 2;
  while (at < source.length) {
    const marker = nextMarker(source, at);
    if (marker === undefined) break;
    if (parts.length > 2 * mostSegments) return undefined;
    if (marker > at) mended = true;
    const kind = source[marker + 1]!;
    if (kind === endOfImage || isStandalone(kind)) {
      parts.push(source.subarray(marker, marker + 2));
      at = marker + 2;
      if (kind === endOfImage) break;
      continue;
    }
    if (marker + 4 > source.length) break;
    const end = marker + 2 + source.readUInt16BE(marker + 2);
    if (sequentialFrames.has(kind)) sequential = true;
    const segment = source.subarray(marker, end);
    const usual = kind === startOfScan && sequential ? withUsualParameters(segment) : withKnownVersion(segment);
    if (!usual.equals(segment)) mended = true;
    const scanEnd = kind === startOfScan ? endOfScan(source, end) : end;
    parts.push(usual, source.subarray(end, scanEnd));
    at = scanEnd;
  }
  return mended ? Buffer.concat([...parts, source.subarray(at)]) : undefined;
}

/**
 * Where stray bytes after a scan may lie, given how many bytes a decoder found too many and before which marker: the
 * JPEG without as many bytes before each such marker, in order. Only a decoder knows where the coded pixels of a
 * progressive scan end, so that each is to be decoded strictly: the wrong one lacks coded pixels.
 */
export function* withoutStrayBytes(
  bytes: Uint8Array,
  { count, marker: wanted, from = 0 }: { readonly count: number; readonly marker: number; readonly from?: number },
): Generator<{ readonly jpeg: Uint8Array; readonly at: number }> {
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = nextMarker(source, 2);
  for (let segments = 0; segments < mostSegments && at !== undefined && at + 4 <= source.length; segments++) {
    const kind = source[at + 1]!;
    if (isStandalone(kind) || kind === endOfImage) return;
    const segmentEnd = at + 2 + source.readUInt16BE(at + 2);
    const scanEnd = kind === startOfScan ? endOfScan(source, segmentEnd) : segmentEnd;
    const next = nextMarker(source, scanEnd);
    const strayAt = scanEnd - count;
    if (kind === startOfScan && source[scanEnd + 1] === wanted && strayAt >= Math.max(segmentEnd, from)) {
      yield { jpeg: Buffer.concat([source.subarray(0, strayAt), source.subarray(scanEnd)]), at: strayAt };
    }
    at = next;
  }
}

/** Offset of the 0xff right before the next marker's code; fill bytes before it are skipped. */
function nextMarker(source: Buffer, from: number): number | undefined {
  // A loop of its own: a file may be of 0xff throughout, and a call for each of them takes long.
  let previous = 0;
  for (let at = from; at < source.length; at++) {
    const byte = source[at]!;
    if (previous === 0xff && byte !== 0xff && byte !== 0) return at - 1;
    previous = byte;
  }
  return undefined;
}

/** Where the entropy-coded data end: at the next marker that is no restart. */
function endOfScan(source: Buffer, from: number): number {
  let at = nextMarker(source, from);
  while (at !== undefined && isStandalone(source[at + 1]!)) at = nextMarker(source, at + 2);
  return at ?? source.length;
}

/** Restarts and TEM have no length. */
function isStandalone(kind: number): boolean {
  return kind === 0x01 || (kind >= 0xd0 && kind <= 0xd7);
}

function withUsualParameters(scanHeader: Buffer): Buffer {
  return Buffer.concat([scanHeader.subarray(0, -3), Buffer.from([0, 63, 0])]);
}

function withKnownVersion(segment: Buffer): Buffer {
  const isJfif = segment[1] === 0xe0 && segment.length > 9 && segment.toString("latin1", 4, 9) === "JFIF\0";
  return isJfif ? Buffer.concat([segment.subarray(0, 9), Buffer.from([1]), segment.subarray(10)]) : segment;
}
