import { createHash } from "node:crypto";
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

/**
 * Encodes tensors in the safetensors layout (github.com/huggingface/safetensors): 8 bytes length of the header, JSON
 * header, raw little-endian data. The metadata gets an entry "sha256" over names, types, metadata and data.
 */
export function encodeSafetensors({ tensors, metadata }: TensorFile): Uint8Array {
  const entries = Object.entries(tensors);
  const table: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    if (name === "__metadata__") throw new PipelineError("INVALID_ARGUMENT", "a tensor may not be called __metadata__");
    table[name] = { dtype: formatNames[dtype], shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const parts = entries.map(([, { data }]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const digest = digestOf(metadata, table, parts);
  const json = JSON.stringify({ __metadata__: { ...metadata, [digestKey]: digest }, ...table });
  const header = Buffer.from(json);
  // Data begins at a multiple of 8, so that every element type is aligned.
  const padded = Math.ceil(header.length / 8) * 8;
  const file = Buffer.alloc(8 + padded + offset, " ");
  file.writeBigUInt64LE(BigInt(padded), 0);
  header.copy(file, 8);
  let at = 8 + padded;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
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
      const dtype = dtypes[type];
      if (dtype === undefined) throw damaged(`${name} has elements of type ${type}, which are not used here`);
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
  if (bytes.length < 8) throw damaged(`it has ${bytes.length} bytes, too few for a header`);
  const headerBytes = bytes.readBigUInt64LE(0);
  if (headerBytes > BigInt(maxHeaderBytes) || headerBytes > BigInt(bytes.length - 8)) {
    throw damaged(`its header claims ${headerBytes} bytes of ${bytes.length}`);
  }
  const start = 8 + Number(headerBytes);
  const { metadata, table } = parseHeader(bytes.subarray(8, start));
  const data = bytes.subarray(start);
  let expected = 0;
  const inOrder = [...table].sort((a, b) => a[1].begin - b[1].begin || a[1].end - b[1].end);
  for (const [name, { begin, end }] of inOrder) {
    if (begin !== expected || end > data.length) throw damaged(`the data of ${quoted(name)} lies at ${begin}..${end}`);
    expected = end;
  }
  if (expected !== data.length) throw damaged(`it has ${data.length} bytes of data, its header tells of ${expected}`);
  const { [digestKey]: digest, ...rest } = metadata;
  if (digest === undefined && wanted === "required") throw damaged("it has no digest");
  if (digest !== undefined) {
    const rawTable = Object.fromEntries(
      [...table].map(([name, { type, shape, begin, end }]) => [
        name,
        { dtype: type, shape, data_offsets: [begin, end] },
      ]),
    );
    if (digest !== digestOf(rest, rawTable, [data])) throw damaged("its content does not match its digest");
  }
  const entries = new Map(
    [...table].map(([name, { type, shape, begin, end }]) => [name, { type, shape, bytes: data.subarray(begin, end) }]),
  );
  return { entries, metadata: rest };
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

function digestOf(metadata: Readonly<Record<string, string>>, table: object, parts: readonly Uint8Array[]): string {
  const hash = createHash("sha256").update(JSON.stringify([metadata, table]));
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
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
