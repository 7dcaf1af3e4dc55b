import sharp from "sharp";
import { replaceFile } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { gatherImages } from "./batch.ts";
import type { ImageDataset, ImageSplit } from "./dataset.ts";

/** Some images, planes of bytes. */
export interface ImageBatch {
  readonly height: number;
  readonly width: number;
  /** [N, 3, height, width] */
  readonly data: Uint8Array;
}

export interface ContactSheetOptions {
  /** The PNG to write. */
  readonly file: string;
  readonly part?: "train" | "test";
  /** Of each class; default 10, with views 2. */
  readonly imagesPerClass?: number;
  /** Changed images to draw beside each one, as many as the list is long; any size. */
  readonly views?: readonly ((indices: Int32Array) => Promise<ImageBatch>)[];
  /** Classes shown, the first ones; default 20. */
  readonly maxClasses?: number;
  /** Each pixel of the data set becomes a square of this many; default 2. */
  readonly magnification?: number;
  /** Draws the images; the first ones of each class by default. */
  readonly rng?: Rng;
}

const gap = 2;
const groupGap = 8;
const bins = 64;
const barWidth = 2;
const paper = 255;
const maxSheetBytes = 256 * 1024 ** 2;

/**
 * Writes a sheet with one row for each class: images, each followed by its changed views, and at the end the histogram
 * of all pixels of the class (red, green and blue over each other, from black at the left to white at the right).
 * @returns the class names of the rows, from the top
 * @throws INVALID_ARGUMENT when the sheet would be too large or empty
 */
export async function writeContactSheet(
  dataset: ImageDataset,
  options: ContactSheetOptions,
): Promise<readonly string[]> {
  const { file, part = "train", views = [], maxClasses = 20, magnification = 2, rng } = options;
  const { imagesPerClass = views.length === 0 ? 10 : 2 } = options;
  const split = dataset[part];
  const classes = dataset.classes.slice(0, maxClasses);
  const rows = chooseImages(split.labels, classes.length, imagesPerClass, rng);
  const cell = { height: dataset.height * magnification, width: dataset.width * magnification };
  const groupWidth = (1 + views.length) * (cell.width + gap) + (views.length === 0 ? 0 : groupGap);
  const height = classes.length * (cell.height + gap) + gap;
  const width = imagesPerClass * groupWidth + bins * barWidth + 2 * gap;
  if (!(imagesPerClass > 0 && classes.length > 0 && height * width * 3 <= maxSheetBytes)) {
    throw new PipelineError("INVALID_ARGUMENT", `a contact sheet of ${width} x ${height} pixels cannot be made`, {
      remedy: "change the number of images per class or the magnification",
    });
  }
  const sheet = new Uint8Array(height * width * 3).fill(paper);
  const at = (row: number, x: number): Uint8Array =>
    sheet.subarray(((row * (cell.height + gap) + gap) * width + gap + x) * 3);
  const shown = Int32Array.from(rows.flat());
  const columns: ImageBatch[] = [{ ...dataset, data: gatherImages(split, shown) }];
  for (const view of views) columns.push(await view(shown));
  let image = 0;
  rows.forEach((indices, row) => {
    for (let group = 0; group < indices.length; group++, image++) {
      columns.forEach((column, i) => {
        drawImage(at(row, group * groupWidth + i * (cell.width + gap)), 3 * width, { ...column, image, cell });
      });
    }
    drawHistogram(at(row, imagesPerClass * groupWidth), 3 * width, histogram(split, row), cell.height);
  });
  const png = await sharp(sheet, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 9 })
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

interface Drawn extends ImageBatch {
  /** Which of the batch. */
  readonly image: number;
  readonly cell: { readonly height: number; readonly width: number };
}

/** Copies one image into a cell, planes to interleaved, by the nearest pixel. */
function drawImage(target: Uint8Array, rowBytes: number, { height, width, data, image, cell }: Drawn): void {
  const plane = height * width;
  const pixels = data.subarray(image * 3 * plane, (image + 1) * 3 * plane);
  for (let y = 0; y < cell.height; y++) {
    for (let x = 0; x < cell.width; x++) {
      const [row, column] = [
        Math.floor(((y + 0.5) * height) / cell.height),
        Math.floor(((x + 0.5) * width) / cell.width),
      ];
      const offset = y * rowBytes + 3 * x;
      for (let channel = 0; channel < 3; channel++) {
        target[offset + channel] = pixels[channel * plane + row * width + column]!;
      }
    }
  }
}

/** How often each of `bins` ranges of values occurs in all images of a class, channel by channel. */
function histogram({ count, height, width, images, labels }: ImageSplit, label: number): Float64Array {
  const plane = height * width;
  const counts = new Float64Array(3 * bins);
  for (let image = 0; image < count; image++) {
    if (labels[image] !== label) continue;
    for (let channel = 0; channel < 3; channel++) {
      const start = (3 * image + channel) * plane;
      for (let i = start; i < start + plane; i++) counts[channel * bins + ((images[i]! * bins) >> 8)]!++;
    }
  }
  return counts;
}

/**
 * Bars of the three channels, each letting only its own colour through. The highest reaches the top, but for black and
 * white: where many pixels are clipped, these would make all others look small.
 */
function drawHistogram(target: Uint8Array, rowBytes: number, counts: Float64Array, height: number): void {
  const inner = counts.filter((_, i) => i % bins > 0 && i % bins < bins - 1);
  const highest = inner.reduce((max, count) => Math.max(max, count), 1);
  for (let x = 0; x < bins * barWidth; x++) {
    for (let channel = 0; channel < 3; channel++) {
      const share = counts[channel * bins + Math.floor(x / barWidth)]! / highest;
      const bar = Math.round(Math.min(1, share) * height);
      for (let y = height - bar; y < height; y++) {
        for (let other = 0; other < 3; other++) {
          if (other !== channel) target[y * rowBytes + 3 * x + other]! >>= 1;
        }
      }
    }
  }
}
