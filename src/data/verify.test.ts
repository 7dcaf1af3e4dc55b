import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { expect, it } from "vitest";
import { writeContactSheet } from "./preview.ts";
import { createSyntheticDataset } from "./synthetic.ts";
import { verifyDataset } from "./verify.ts";

it("verifyDataset counts classes, duplicates and ranges", () => {
  const dataset = createSyntheticDataset({ trainCount: 50, testCount: 20 });
  const sound = verifyDataset(dataset);
  expect(sound.problems).toEqual([]);
  expect(sound.train.perClass).toEqual(new Array(10).fill(5));
  expect([sound.train.duplicates, sound.testInTrain]).toEqual([0, 0]);

  dataset.train.images.copyWithin(3072, 0, 3072);
  dataset.test.images.set(dataset.train.images.subarray(0, 3072), 5 * 3072);
  const { train, testInTrain, problems } = verifyDataset(dataset);
  expect([train.duplicates, testInTrain]).toEqual([1, 1]);
  expect(problems).toEqual([expect.stringMatching(/the digest is/)]);
});

it("verifyDataset reports empty classes and pixels without content", () => {
  const dataset = createSyntheticDataset({ trainCount: 30, testCount: 10 });
  dataset.train.images.fill(7);
  dataset.train.labels.fill(0);
  const { problems, train } = verifyDataset(dataset);
  expect([train.minimum, train.maximum]).toEqual([7, 7]);
  expect(train.channels.mean[0]).toBeCloseTo(7 / 255, 12);
  expect(train.channels.std).toEqual([0, 0, 0]);
  expect(problems).toEqual(expect.arrayContaining(["the training part has no square"]));
  expect(problems).toEqual(expect.arrayContaining([expect.stringMatching(/all pixels .* have the value 7/)]));
});

it("writeContactSheet draws a row for each class", async () => {
  const folder = await mkdtemp(join(tmpdir(), "preview-"));
  try {
    const file = join(folder, "sheet.png");
    const dataset = createSyntheticDataset({ trainCount: 30, testCount: 0 });
    expect(await writeContactSheet(dataset, { file, imagesPerClass: 3 })).toEqual(dataset.classes);
    const { data, info } = await sharp(await readFile(file))
      .raw()
      .toBuffer({ resolveWithObject: true });
    // Three images and a histogram of 64 bars.
    expect([info.width, info.height]).toEqual([3 * 66 + 128 + 4, 10 * 66 + 2]);
    const first = dataset.train.labels.indexOf(0) * 3072;
    const corner = (2 * info.width + 2) * info.channels;
    const pixel = [0, 1024, 2048].map((plane) => dataset.train.images[first + plane]!);
    expect([...data.subarray(corner, corner + 6)]).toEqual([...pixel, ...pixel]);
    await expect(writeContactSheet(dataset, { file, imagesPerClass: 0 })).rejects.toThrow(/cannot be made/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
