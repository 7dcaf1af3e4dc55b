import sharp from "sharp";
import { replaceFile } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import type { ImageDataset } from "./dataset.ts";

export interface ContactSheetOptions {
  /** The PNG to write. */
  readonly file: string;
  readonly part?: "train" | "test";
  /** Columns; default 10. */
  readonly imagesPerClass?: number;
  /** Classes shown, the first ones; default 20. */
  readonly maxClasses?: number;
  /** Each pixel becomes a square of this many; default 2. */
  readonly magnification?: number;
  /** Draws the images; the first ones of each class by default. */
  readonly rng?: Rng;
}

const gap = 2;
const paper = 255;
const maxSheetBytes = 256 * 1024 ** 2;

/**
 * Writes a sheet with one row of images for each class.
 * @returns the class names of the rows, from the top
 * @throws INVALID_ARGUMENT when the sheet would be too large or empty
 */
export async function writeContactSheet(
  dataset: ImageDataset,
  options: ContactSheetOptions,
): Promise<readonly string[]> {
  const { file, part = "train", imagesPerClass = 10, maxClasses = 20, magnification = 2, rng } = options;
  const classes = dataset.classes.slice(0, maxClasses);
  const rows = chooseImages(dataset[part].labels, classes.length, imagesPerClass, rng);
  const cellHeight = dataset.height * magnification + gap;
  const cellWidth = dataset.width * magnification + gap;
  const height = classes.length * cellHeight + gap;
  const width = imagesPerClass * cellWidth + gap;
  if (!(height > gap && width > gap && height * width * 3 <= maxSheetBytes)) {
    throw new PipelineError("INVALID_ARGUMENT", `a contact sheet of ${width} x ${height} pixels cannot be made`, {
      remedy: "change the number of images per class or the magnification",
    });
  }
  const sheet = new Uint8Array(height * width * 3).fill(paper);
  rows.forEach((indices, row) => {
    indices.forEach((index, column) => {
      const start = ((row * cellHeight + gap) * width + column * cellWidth + gap) * 3;
      drawCell(sheet.subarray(start), 3 * width, dataset, part, index, magnification);
    });
  });
  const png = await sharp(sheet, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  await replaceFile(file, png);
  return classes;
}

function chooseImages(labels: Int32Array, classCount: number, perClass: number, rng: Rng | undefined): number[][] {
  const order = rng?.permutation(labels.length) ?? labels.map((_, i) => i);
  const rows: number[][] = Array.from({ length: classCount }, () => []);
  for (const index of order) {
    const row = rows[labels[index]!];
    if (row !== undefined && row.length < perClass) row.push(index);
  }
  return rows;
}

/** Copies one image, planes to interleaved, each pixel as a square. */
function drawCell(
  target: Uint8Array,
  rowBytes: number,
  dataset: ImageDataset,
  part: "train" | "test",
  index: number,
  magnification: number,
): void {
  const { height, width } = dataset;
  const plane = height * width;
  const image = dataset[part].images.subarray(index * 3 * plane, (index + 1) * 3 * plane);
  for (let y = 0; y < height * magnification; y++) {
    for (let x = 0; x < width * magnification; x++) {
      const pixel = Math.floor(y / magnification) * width + Math.floor(x / magnification);
      const offset = y * rowBytes + 3 * x;
      target[offset] = image[pixel]!;
      target[offset + 1] = image[plane + pixel]!;
      target[offset + 2] = image[2 * plane + pixel]!;
    }
  }
}
