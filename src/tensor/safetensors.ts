import { createHash, type Hash } from "node:crypto";
import { open } from "node:fs/promises";
import { PipelineError } from "../base/errors.ts";
import { type DType, typedArrays } from "./dtype.ts";
import { sizeOf } from "./shape.ts";
import { type Named, type Tensor, tensor } from "./tensor.ts";

/** What a safetensors file holds. */
export interface TensorFile {
  readonly tensors: Named<Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const formatNames = { float32: "F32", float16: "F16", int32: "I32", uint8: "U8" } as const satisfies Record<
  DType,
  string
>;
const dtypes: Readonly<Record<string, DType | undefined>> = Object.fromEntries(
  Object.entries(formatNames).map(([dtype, name]) => [name, dtype as DType]),
);

/** Bytes of an element of each type that the format knows and that is no smaller than a byte. */
const formatBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** Element types by the names of the format. */
export type SafetensorsType = keyof typeof formatBytes;

/** A tensor as it lies in the file, row by row, little-endian. */
export interface SafetensorsEntry {
  readonly type: SafetensorsType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface DecodeOptions {
  /** Files of other programs have no digest. */
  readonly digest?: "required" | "optional";
}

/** Header sizes above this are refused, as by the reference implementation. */
const maxHeaderBytes = 100_000_000;
const digestKey = "sha256";
const defaultPieceBytes = 64 * 1024 ** 2;

/**
 * A file of tensors in the safetensors layout (github.com/huggingface/safetensors) in its parts, none of which copies a
 * tensor: 8 bytes length of the header, JSON header, raw little-endian data. The metadata gets an entry "sha256" over
 * names, types, metadata and data.
 */
export function safetensorsParts({ tensors, metadata }: TensorFile): Uint8Array[] {
  const entries = Object.entries(tensors);
  const table: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    if (name === "__metadata__") throw new PipelineError("INVALID_ARGUMENT", "a tensor may not be called __metadata__");
    table[name] = { dtype: formatNames[dtype], shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const parts = entries.map(([, { data }]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const hash = startDigest(metadata, table);
  for (const part of parts) for (const piece of pieces(part, defaultPieceBytes)) hash.update(piece);
  const json = JSON.stringify({ __metadata__: { ...metadata, [digestKey]: hash.digest("hex") }, ...table });
  const header = Buffer.from(json);
  // Data begins at a multiple of 8, so that every element type is aligned.
  const padded = Math.ceil(header.length / 8) * 8;
  const start = Buffer.alloc(8 + padded, " ");
  start.writeBigUInt64LE(BigInt(padded), 0);
  header.copy(start, 8);
  return [start, ...parts];
}

/** The same as one array. */
export function encodeSafetensors(file: TensorFile): Uint8Array {
  return Buffer.concat(safetensorsParts(file));
}

/**
 * Decodes a safetensors file and checks all of it: sizes, offsets without gap or overlap, and the digest where there
 * is one.
 * @throws CHECKPOINT_DAMAGED saying what is wrong
 */
export function decodeSafetensors(file: Uint8Array, { digest: wanted = "optional" }: DecodeOptions = {}): TensorFile {
  const { metadata, entries } = parseSafetensors(file, { digest: wanted });
  const tensors = Object.fromEntries(
    [...entries].map(([name, { type, shape, bytes }]) => {
      const dtype = usableType(name, type);
      const array = new typedArrays[dtype](sizeOf(shape));
      new Uint8Array(array.buffer).set(bytes);
      return [name, tensor(dtype, shape, array)];
    }),
  );
  return { tensors, metadata };
}

/** The same with the tensors as they lie in the file, of any element type: views on its bytes. */
export function parseSafetensors(
  file: Uint8Array,
  { digest: wanted = "optional" }: DecodeOptions = {},
): {
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
} {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const start = dataStart(bytes, bytes.length);
  const data = bytes.subarray(start);
  const layout = parseLayout(bytes.subarray(8, start), data.length, wanted);
  const hash = digestCheck(layout);
  for (const piece of pieces(data, defaultPieceBytes)) hash?.update(piece);
  hash?.finish();
  const entries = new Map(
    layout.entries.map(([name, { type, shape, begin, end }]) => [
      name,
      { type, shape, bytes: data.subarray(begin, end) },
    ]),
  );
  return { entries, metadata: layout.metadata };
}

export interface ReadOptions extends DecodeOptions {
  /** Bytes read and hashed at a time; default 64 MiB. */
  readonly pieceBytes?: number;
}

/**
 * Reads a safetensors file of any size, tensor by tensor, and checks as much of it as `decodeSafetensors` does.
 * @throws CHECKPOINT_DAMAGED saying what is wrong; what the file system says where the file can't be read
 */
export async function readSafetensors(
  path: string,
  { digest: wanted = "optional", pieceBytes = defaultPieceBytes }: ReadOptions = {},
): Promise<TensorFile> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const fill = async (target: Uint8Array, position: number, onPiece?: (piece: Uint8Array) => void): Promise<void> => {
    let at = position;
    for (const piece of pieces(target, pieceBytes)) {
      for (let done = 0; done < piece.length; ) {
        const { bytesRead } = await file.read(piece, done, piece.length - done, at + done);
        if (bytesRead === 0) throw damaged(`it breaks off after ${at + done} bytes`);
        done += bytesRead;
      }
      onPiece?.(piece);
      at += piece.length;
    }
  };
  const length = Buffer.alloc(Math.min(8, size));
  await fill(length, 0);
  const start = dataStart(length, size);
  const header = Buffer.alloc(start - 8);
  await fill(header, 8);
  const layout = parseLayout(header, size - start, wanted);
  const hash = digestCheck(layout);
  const tensors: [string, Tensor][] = [];
  for (const [name, { type, shape, begin }] of layout.entries) {
    const dtype = usableType(name, type);
    const array = new typedArrays[dtype](sizeOf(shape));
    await fill(new Uint8Array(array.buffer), start + begin, (piece) => hash?.update(piece));
    tensors.push([name, tensor(dtype, shape, array)]);
  }
  hash?.finish();
  return { tensors: Object.fromEntries(tensors), metadata: layout.metadata };
}

interface Layout {
  /** Without the digest. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly digest: string | undefined;
  /** As the header lists them, from which the digest is made. */
  readonly table: ReadonlyMap<string, Entry>;
  /** As they lie in the file. */
  readonly entries: readonly (readonly [name: string, entry: Entry])[];
}

/** Where the data begins in a file of which at least the first eight bytes are given. */
function dataStart(first: Buffer, fileBytes: number): number {
  if (fileBytes < 8) throw damaged(`it has ${fileBytes} bytes, too few for a header`);
  const headerBytes = first.readBigUInt64LE(0);
  if (headerBytes > BigInt(maxHeaderBytes) || headerBytes > BigInt(fileBytes - 8)) {
    throw damaged(`its header claims ${headerBytes} bytes of ${fileBytes}`);
  }
  return 8 + Number(headerBytes);
}

/** Checks that the tensors fill the data without gap or overlap. */
function parseLayout(header: Buffer, dataBytes: number, wanted: "required" | "optional"): Layout {
  const { metadata, table } = parseHeader(header);
  let expected = 0;
  const entries = [...table].sort((a, b) => a[1].begin - b[1].begin || a[1].end - b[1].end);
  for (const [name, { begin, end }] of entries) {
    if (begin !== expected || end > dataBytes) throw damaged(`the data of ${quoted(name)} lies at ${begin}..${end}`);
    expected = end;
  }
  if (expected !== dataBytes) throw damaged(`it has ${dataBytes} bytes of data, its header tells of ${expected}`);
  const { [digestKey]: digest, ...rest } = metadata;
  if (digest === undefined && wanted === "required") throw damaged("it has no digest");
  return { metadata: rest, digest, table, entries };
}

/** Takes the data piece by piece and compares in the end; undefined where there is no digest. */
function digestCheck({ metadata, digest, table }: Layout) {
  if (digest === undefined) return undefined;
  const rawTable = Object.fromEntries(
    [...table].map(([name, { type, shape, begin, end }]) => [name, { dtype: type, shape, data_offsets: [begin, end] }]),
  );
  const hash = startDigest(metadata, rawTable);
  return {
    update(piece: Uint8Array): void {
      hash.update(piece);
    },
    finish(): void {
      if (hash.digest("hex") !== digest) throw damaged("its content does not match its digest");
    },
  };
}

interface Entry {
  readonly type: SafetensorsType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function parseHeader(bytes: Buffer): { metadata: Record<string, string>; table: Map<string, Entry> } {
  let header: unknown;
  try {
    header = JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw damaged("its header is no JSON", cause);
  }
  if (!isRecord(header)) throw damaged("its header is no JSON object");
  const metadata: [string, string][] = [];
  const table = new Map<string, Entry>();
  for (const [name, entry] of Object.entries(header)) {
    if (name !== "__metadata__") {
      table.set(name, parseEntry(name, entry));
      continue;
    }
    if (!isRecord(entry)) throw damaged("its metadata is no object");
    for (const [key, value] of Object.entries(entry)) {
      if (typeof value !== "string") throw damaged(`its metadata ${quoted(key)} is no text`);
      metadata.push([key, value]);
    }
  }
  return { metadata: Object.fromEntries(metadata), table };
}

function parseEntry(name: string, entry: unknown): Entry {
  const called = quoted(name);
  if (!isRecord(entry)) throw damaged(`the entry of ${called} is no object`);
  const { dtype: type, shape, data_offsets: offsets } = entry;
  if (!isType(type)) {
    throw damaged(`${called} has the unknown element type ${typeof type === "string" ? quoted(type) : typeof type}`);
  }
  if (!isCounts(shape) || shape.length > 8) throw damaged(`${called} has an impossible shape`);
  if (!isCounts(offsets) || offsets.length !== 2) throw damaged(`${called} has impossible offsets`);
  const [begin = 0, end = 0] = offsets;
  if (end - begin !== sizeOf(shape) * formatBytes[type]) {
    throw damaged(`${called} of shape [${shape}] does not fill its bytes ${begin}..${end}`);
  }
  return { type, shape, begin, end };
}

function isType(value: unknown): value is SafetensorsType {
  return typeof value === "string" && Object.hasOwn(formatBytes, value);
}

function startDigest(metadata: Readonly<Record<string, string>>, table: object): Hash {
  return createHash("sha256").update(JSON.stringify([metadata, table]));
}

/** Neither a read nor a hash takes 2 GiB at once. */
function* pieces(bytes: Uint8Array, pieceBytes: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

function usableType(name: string, type: SafetensorsType): DType {
  const dtype = dtypes[type];
  if (dtype === undefined) throw damaged(`${quoted(name)} has elements of type ${type}, which are not used here`);
  return dtype;
}

/** Names come from the file, which may be hostile: shortened, without control characters. */
function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

function damaged(why: string, cause?: unknown): PipelineError {
  return new PipelineError("CHECKPOINT_DAMAGED", `the file is no sound safetensors file: ${why}`, { cause });
}
