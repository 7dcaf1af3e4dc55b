import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type CifarFormat, cifarFormats, readCifarFolder } from "./cifar.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cifar-"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

/** The real layouts with few records. */
const small10: CifarFormat = { ...cifarFormats.cifar10, trainRecordsPerFile: 3, testRecords: 2 };
const small100: CifarFormat = { ...cifarFormats.cifar100, trainRecordsPerFile: 4, testRecords: 3 };

/** Record k: the label bytes, then pixels that count up from k. */
function records(count: number, labels: (k: number) => readonly number[]): Buffer {
  const pixels = (k: number) => Array.from({ length: 3072 }, (_, i) => (k + i) & 255);
  return Buffer.concat(Array.from({ length: count }, (_, k) => Buffer.from([...labels(k), ...pixels(k)])));
}

async function write(format: CifarFormat): Promise<void> {
  const labels = (k: number) => (format.labelBytes === 2 ? [k, 90 + k] : [9 - k]);
  for (const file of format.trainFiles) {
    await writeFile(join(folder, file), records(format.trainRecordsPerFile, labels));
  }
  await writeFile(join(folder, format.testFile), records(format.testRecords, labels));
  const names = Array.from({ length: format.classCount }, (_, i) => `class ${i}`);
  await writeFile(join(folder, format.namesFile), `${names.join("\n")}\n\n`);
}

describe("readCifarFolder", () => {
  it("reads CIFAR-10 records in the order of the files", async () => {
    await write(small10);
    const { classes, train, test } = await readCifarFolder(folder, small10);
    expect(classes).toHaveLength(10);
    expect(classes[9]).toBe("class 9");
    expect([...train.labels]).toEqual([9, 8, 7, 9, 8, 7, 9, 8, 7, 9, 8, 7, 9, 8, 7]);
    expect([...test.labels]).toEqual([9, 8]);
    expect(train.images).toHaveLength(15 * 3072);
    expect([train.images[0], train.images[4 * 3072], train.images[4 * 3072 + 255]]).toEqual([0, 1, 0]);
  });

  it("reads the fine labels of CIFAR-100", async () => {
    await write(small100);
    const { classes, train, test } = await readCifarFolder(folder, small100);
    expect(classes).toHaveLength(100);
    expect([...train.labels]).toEqual([90, 91, 92, 93]);
    expect([...test.labels]).toEqual([90, 91, 92]);
    expect(train.images[3072]).toBe(1);
  });

  it("names file, record and byte offset of a wrong label", async () => {
    await write(small10);
    await writeFile(
      join(folder, "data_batch_4.bin"),
      records(3, (k) => [k === 2 ? 10 : 0]),
    );
    await expect(readCifarFolder(folder, small10)).rejects.toMatchObject({
      code: "DATA_CORRUPT",
      message: expect.stringMatching(/data_batch_4\.bin has label 10 at byte offset 6146 \(record 2\).*0 to 9.*unpack/),
      details: { offset: 6146, record: 2, label: 10 },
    });
  });

  it("checks the coarse label of CIFAR-100 too", async () => {
    await write(small100);
    await writeFile(
      join(folder, "test.bin"),
      records(3, (k) => [k === 1 ? 20 : 0, 99]),
    );
    await expect(readCifarFolder(folder, small100)).rejects.toMatchObject({ details: { offset: 3074, label: 20 } });
  });

  it.each([
    [3073 + 100, /breaks off inside record 1 \(byte 3173\)/],
    [2 * 3073, /ends after record 2 \(byte 6146\)/],
    [0, /ends after record 0 \(byte 0\)/],
    [3 * 3073 + 1, /goes on after its last record \(byte 9219\)/],
  ])("refuses a file of %i bytes", async (size, message) => {
    await write(small10);
    await truncate(join(folder, "data_batch_2.bin"), size);
    await expect(readCifarFolder(folder, small10)).rejects.toMatchObject({
      code: "DATA_CORRUPT",
      message: expect.stringMatching(message),
    });
  });

  it("names a missing file", async () => {
    await write(small10);
    await rm(join(folder, "test_batch.bin"));
    await expect(readCifarFolder(folder, small10)).rejects.toMatchObject({
      code: "DATA_FOREIGN",
      message: expect.stringMatching(/test_batch\.bin cannot be read/),
    });
  });

  it("refuses class names that are too few or twice the same", async () => {
    await write(small10);
    await writeFile(join(folder, "batches.meta.txt"), "cat\ndog\ncat\n");
    await expect(readCifarFolder(folder, small10)).rejects.toThrow(/names 2 different classes, CIFAR-10 has 10/);
  });
});
