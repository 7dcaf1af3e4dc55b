import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { PipelineError } from "../base/errors.ts";
import type { ImageSplit } from "./dataset.ts";
import { allocateSplit } from "./image-memory.ts";

export type CifarName = "cifar10" | "cifar100";

/**
 * The official binary layout: fixed-size records, first the label bytes, then 1024 bytes each of R, G and B, rows from
 * the top (Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009).
 */
export interface CifarFormat {
  readonly title: string;
  readonly folder: string;
  readonly trainFiles: readonly string[];
  readonly testFile: string;
  /** Class names, one a line. */
  readonly namesFile: string;
  readonly classCount: number;
  /** Bytes before the pixels; the last one is the label that is used. */
  readonly labelBytes: number;
  /** Number of values that each label byte may have. */
  readonly labelCounts: readonly number[];
  readonly trainRecordsPerFile: number;
  readonly testRecords: number;
  readonly archive: { readonly url: string; readonly file: string; readonly md5: string };
}

export const cifarFormats = {
  cifar10: {
    title: "CIFAR-10",
    folder: "cifar-10-batches-bin",
    trainFiles: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
    testFile: "test_batch.bin",
    namesFile: "batches.meta.txt",
    classCount: 10,
    labelBytes: 1,
    labelCounts: [10],
    trainRecordsPerFile: 10_000,
    testRecords: 10_000,
    archive: {
      url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
      file: "cifar-10-binary.tar.gz",
      md5: "c32a1d4ab5d03f1284b67883e8d87530",
    },
  },
  cifar100: {
    title: "CIFAR-100",
    folder: "cifar-100-binary",
    trainFiles: ["train.bin"],
    testFile: "test.bin",
    namesFile: "fine_label_names.txt",
    classCount: 100,
    labelBytes: 2,
    labelCounts: [20, 100],
    trainRecordsPerFile: 50_000,
    testRecords: 10_000,
    archive: {
      url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
      file: "cifar-100-binary.tar.gz",
      md5: "03b5dce01913d631647c71ecec9e9cb8",
    },
  },
} satisfies Record<CifarName, CifarFormat>;

export const cifarSide = 32;
const pixelBytes = 3 * cifarSide * cifarSide;
export const maxNamesBytes = 64 * 1024;

/** Every file that a reader needs, with its exact size; undefined for the names, which may have up to maxNamesBytes. */
export function cifarFiles(format: CifarFormat): ReadonlyMap<string, number | undefined> {
  const recordBytes = format.labelBytes + pixelBytes;
  return new Map<string, number | undefined>([
    [format.namesFile, undefined],
    ...format.trainFiles.map((file) => [file, format.trainRecordsPerFile * recordBytes] as const),
    [format.testFile, format.testRecords * recordBytes],
  ]);
}

export interface CifarData {
  readonly classes: readonly string[];
  readonly train: ImageSplit;
  readonly test: ImageSplit;
}

/**
 * Reads an unpacked data set from the folder that holds its files.
 * @param describe how a file is called in error messages; its path by default
 * @throws DATA_CORRUPT (naming file and byte offset) or DATA_FOREIGN when a file is missing.
 */
export async function readCifarFolder(
  folder: string,
  format: CifarFormat,
  describe: (file: string) => string = (file) => join(folder, file),
): Promise<CifarData> {
  const classes = await readClassNames(join(folder, format.namesFile), format, describe(format.namesFile));
  const train = allocateSplit(format.trainFiles.length * format.trainRecordsPerFile, cifarSide, cifarSide);
  const test = allocateSplit(format.testRecords, cifarSide, cifarSide);
  for (const [i, file] of format.trainFiles.entries()) {
    const start = i * format.trainRecordsPerFile;
    await readRecords(join(folder, file), describe(file), format, train, start, format.trainRecordsPerFile);
  }
  await readRecords(join(folder, format.testFile), describe(format.testFile), format, test, 0, format.testRecords);
  return { classes, train, test };
}

async function readRecords(
  path: string,
  name: string,
  format: CifarFormat,
  target: ImageSplit,
  first: number,
  count: number,
): Promise<void> {
  const recordBytes = format.labelBytes + pixelBytes;
  const bytes = await readExactly(path, name, format, count * recordBytes);
  for (let i = 0, offset = 0; i < count; i++, offset += recordBytes) {
    for (let position = 0; position < format.labelBytes; position++) {
      const label = bytes[offset + position]!;
      const limit = format.labelCounts[position]!;
      if (label >= limit) throw wrongLabel(name, format, i, offset + position, label, limit);
    }
    target.labels[first + i] = bytes[offset + format.labelBytes - 1]!;
    target.images.set(bytes.subarray(offset + format.labelBytes, offset + recordBytes), (first + i) * pixelBytes);
  }
}

async function readExactly(path: string, name: string, format: CifarFormat, expected: number): Promise<Uint8Array> {
  await using file = await open(path, "r").catch((cause: unknown) => {
    throw missingFile(name, format, cause);
  });
  const info = await file.stat();
  if (!info.isFile()) throw missingFile(name, format, undefined);
  if (info.size !== expected) throw wrongSize(name, format, info.size, expected);
  const bytes = new Uint8Array(expected);
  for (let offset = 0; offset < expected; ) {
    const { bytesRead } = await file.read(bytes, offset, expected - offset, offset);
    if (bytesRead === 0) throw wrongSize(name, format, offset, expected);
    offset += bytesRead;
  }
  return bytes;
}

async function readClassNames(path: string, format: CifarFormat, name: string): Promise<readonly string[]> {
  const info = await stat(path).catch((cause: unknown) => {
    throw missingFile(name, format, cause);
  });
  if (!info.isFile() || info.size > maxNamesBytes) {
    throw new PipelineError("DATA_CORRUPT", `${name} has ${info.size} bytes, too many for a list of class names`, {
      remedy: unpackAgain(format),
      details: { file: name, offset: maxNamesBytes },
    });
  }
  const text = await readFile(path, "utf8");
  const classes = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
  if (classes.length !== format.classCount || new Set(classes).size !== classes.length) {
    throw new PipelineError(
      "DATA_CORRUPT",
      `${name} names ${new Set(classes).size} different classes, ${format.title} has ${format.classCount}`,
      { remedy: unpackAgain(format), details: { file: name, offset: 0 } },
    );
  }
  return classes;
}

function wrongSize(name: string, format: CifarFormat, size: number, expected: number): PipelineError {
  const recordBytes = format.labelBytes + pixelBytes;
  const details = { file: name, offset: Math.min(size, expected), size, expected };
  const problem =
    size > expected
      ? `goes on after its last record (byte ${expected})`
      : size % recordBytes === 0
        ? `ends after record ${size / recordBytes} (byte ${size})`
        : `breaks off inside record ${Math.floor(size / recordBytes)} (byte ${size})`;
  return new PipelineError(
    "DATA_CORRUPT",
    `${name} ${problem}: ${size} bytes, ${format.title} has ${expected} (${expected / recordBytes} records of ${recordBytes})`,
    { remedy: unpackAgain(format), details },
  );
}

function wrongLabel(
  name: string,
  format: CifarFormat,
  record: number,
  offset: number,
  label: number,
  limit: number,
): PipelineError {
  return new PipelineError(
    "DATA_CORRUPT",
    `${name} has label ${label} at byte offset ${offset} (record ${record}), ${format.title} allows 0 to ${limit - 1}`,
    { remedy: unpackAgain(format), details: { file: name, offset, record, label } },
  );
}

function missingFile(name: string, format: CifarFormat, cause: unknown): PipelineError {
  const reason = cause instanceof Error && !/ENOENT/.test(cause.message) ? ` (${cause.message})` : "";
  return new PipelineError("DATA_FOREIGN", `${name} cannot be read: not a whole ${format.title} data set${reason}`, {
    remedy: unpackAgain(format),
    details: { file: name, expectedFiles: [...cifarFiles(format).keys()] },
    ...(cause === undefined ? {} : { cause }),
  });
}

function unpackAgain(format: CifarFormat): string {
  return `unpack ${format.archive.file} again or download it from ${format.archive.url}`;
}
