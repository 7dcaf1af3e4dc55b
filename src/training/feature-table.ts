import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { z } from "zod";
import { isMissing, replaceFile, syncFolder } from "../base/durable.ts";
import { lockFile } from "../base/lock-file.ts";
import { storageError } from "../base/storage-error.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { floats, type Tensor } from "../tensor/tensor.ts";

/** Features of images, one row for each, in a file. */
export interface FeatureTable extends Disposable {
  readonly count: number;
  /** Of one row. */
  readonly shape: Shape;
  /** Rows in the given order, [indices.length, ...shape]. */
  read(indices: Int32Array): Tensor<"float32">;
}

export interface FeatureTableOptions {
  /** Folder of all tables. */
  readonly directory: string;
  /**
   * Everything that the rows depend on. The name of the table's files is a digest of it: another key is another table.
   */
  readonly key: Readonly<Record<string, unknown>>;
  readonly count: number;
  readonly shape: Shape;
  /** Rows [start, end), to be computed where the file has none: [end - start, ...shape] numbers. */
  compute(start: number, end: number): Promise<Float32Array>;
  /** Rows that are computed, written and noted together. */
  readonly chunkRows: number;
  readonly onProgress?: ((progress: FeatureProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FeatureProgress {
  /** Rows that are there. */
  readonly done: number;
  readonly total: number;
  /** Rows that had to be computed now. */
  readonly computed: number;
}

/** What is known of a table's file: CRC-32 of each chunk that is wholly written, from the first on. */
const journalSchema = z.strictObject({
  formatVersion: z.literal(1),
  key: z.record(z.string(), z.unknown()),
  count: z.int().positive(),
  shape: z.array(z.int().positive()),
  chunkRows: z.int().positive(),
  checksums: z.array(z.int().min(0).max(0xffffffff)),
});

type Journal = z.infer<typeof journalSchema>;

const bytesPerNumber = 4;

/**
 * Opens the table of a key and computes what it lacks. Each chunk is flushed to the disk before it is noted as
 * written, so that a computation that was killed goes on behind the last one; chunks that were altered since are
 * computed anew. Two processes that want the same table work one after the other.
 * @throws STORAGE_FAILED when the disk is full; the signal's reason when it aborts
 */
export async function openFeatureTable(options: FeatureTableOptions): Promise<FeatureTable> {
  const { directory, key, count, shape, chunkRows, compute, onProgress, signal } = options;
  await mkdir(directory, { recursive: true });
  const digest = createHash("sha256").update(JSON.stringify(key)).digest("hex").slice(0, 32);
  const [data, notes] = [join(directory, `${digest}.f32`), join(directory, `${digest}.json`)];
  await using held = await lockFile(join(directory, `${digest}.lock`), { signal });
  const empty: Journal = { formatVersion: 1, key: { ...key }, count, shape: [...shape], chunkRows, checksums: [] };
  const rowBytes = sizeOf(shape) * bytesPerNumber;
  const chunks = Math.ceil(count / chunkRows);
  const rowsOf = (chunk: number): [number, number] => [chunk * chunkRows, Math.min(count, (chunk + 1) * chunkRows)];
  const file = openSync(data, (await isThere(data)) ? "r+" : "w+");
  try {
    const journal = await readJournal(notes, empty);
    const checksums = journal.checksums.slice(0, chunks);
    const sound = checksums.findIndex((crc, chunk) => {
      const [start, end] = rowsOf(chunk);
      return crc32(readRows(file, start, end - start, rowBytes)) !== crc;
    });
    if (sound >= 0) checksums.length = sound;
    let done = checksums.length === 0 ? 0 : rowsOf(checksums.length - 1)[1];
    let computed = 0;
    onProgress?.({ done, total: count, computed });
    for (let chunk = checksums.length; chunk < chunks; chunk++) {
      signal?.throwIfAborted();
      const [start, end] = rowsOf(chunk);
      const rows = await compute(start, end);
      const bytes = new Uint8Array(rows.buffer, rows.byteOffset, (end - start) * rowBytes);
      writeRows(file, data, bytes, start * rowBytes);
      checksums.push(crc32(bytes));
      await replaceFile(notes, JSON.stringify({ ...empty, checksums }));
      await held.touch();
      done = end;
      computed += end - start;
      onProgress?.({ done, total: count, computed });
    }
    await syncFolder(directory);
  } catch (error) {
    closeSync(file);
    throw error;
  }
  return {
    count,
    shape,
    read(indices) {
      const out = new Float32Array((indices.length * rowBytes) / bytesPerNumber);
      const bytes = new Uint8Array(out.buffer);
      indices.forEach((index, i) => {
        readInto(file, bytes.subarray(i * rowBytes, (i + 1) * rowBytes), index * rowBytes);
      });
      return floats([indices.length, ...shape], out);
    },
    [Symbol.dispose]() {
      closeSync(file);
    },
  };
}

/** The journal of exactly this table; an empty one where there is none, or none that can be trusted. */
async function readJournal(path: string, empty: Journal): Promise<Journal> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (!isMissing(error)) throw error;
    return empty;
  }
  const parsed = journalSchema.safeParse(parseJson(text));
  if (!parsed.success) return empty;
  const { checksums: _, ...described } = parsed.data;
  const { checksums: __, ...expected } = empty;
  return JSON.stringify(described) === JSON.stringify(expected) ? parsed.data : empty;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A damaged journal counts as none: the rows are computed anew.
    return undefined;
  }
}

function readRows(file: number, start: number, rows: number, rowBytes: number): Uint8Array {
  const bytes = new Uint8Array(rows * rowBytes);
  readInto(file, bytes, start * rowBytes);
  return bytes;
}

/** What lies beyond the end of the file stays zero. */
function readInto(file: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) {
    const got = readSync(file, bytes, done, bytes.length - done, at + done);
    if (got === 0) return;
    done += got;
  }
}

function writeRows(file: number, path: string, bytes: Uint8Array, at: number): void {
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done, at + done);
    fsyncSync(file);
  } catch (error) {
    throw storageError(error, path) ?? error;
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error) => {
      if (!isMissing(error)) throw error;
      return false;
    },
  );
}
