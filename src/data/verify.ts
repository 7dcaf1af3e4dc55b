import { createHash } from "node:crypto";
import type { ImageDataset, ImageSplit } from "./dataset.ts";
import { digestOf } from "./digest.ts";
import { type ChannelStatistics, channelHistograms, channelStatistics } from "./statistics.ts";

export interface SplitReport {
  readonly count: number;
  /** Number of images of each class, in the order of the classes. */
  readonly perClass: readonly number[];
  readonly minimum: number;
  readonly maximum: number;
  readonly channels: ChannelStatistics;
  /** Images with the same pixels as an earlier one of this part. */
  readonly duplicates: number;
}

export interface DatasetReport {
  readonly name: string;
  readonly synthetic: boolean;
  readonly origin: string;
  readonly classes: readonly string[];
  readonly height: number;
  readonly width: number;
  readonly digest: string;
  readonly train: SplitReport;
  readonly test: SplitReport;
  /** Test images with the same pixels as a training image. */
  readonly testInTrain: number;
  /** What is wrong, for people; empty for a sound data set. Duplicates alone are no fault: CIFAR has them too. */
  readonly problems: readonly string[];
}

/** Counts, value ranges, exact duplicates and the digest of a data set, computed anew from its pixels. */
export function verifyDataset(dataset: ImageDataset): DatasetReport {
  const train = reportOf(dataset.train, dataset.classes.length);
  const test = reportOf(dataset.test, dataset.classes.length);
  const digest = digestOf(dataset);
  const problems = [
    ...problemsOf("training", train.report, dataset.classes),
    ...problemsOf("test", test.report, dataset.classes),
    ...(digest === dataset.digest ? [] : [`the digest is ${digest}, not ${dataset.digest} as when it was loaded`]),
  ];
  const { name, synthetic, origin, classes, height, width } = dataset;
  const testInTrain = test.hashes.filter((hash) => train.distinct.has(hash)).length;
  return {
    ...{ name, synthetic, origin, classes, height, width, digest },
    ...{ train: train.report, test: test.report, testInTrain, problems },
  };
}

interface HashedSplit {
  readonly report: SplitReport;
  readonly hashes: readonly string[];
  readonly distinct: ReadonlySet<string>;
}

function reportOf(split: ImageSplit, classCount: number): HashedSplit {
  const imageBytes = 3 * split.height * split.width;
  const perClass = new Array<number>(classCount).fill(0);
  for (const label of split.labels) perClass[label] = (perClass[label] ?? 0) + 1;
  const used = channelHistograms(split).map((histogram) => [
    histogram.findIndex((frequency) => frequency > 0),
    histogram.findLastIndex((frequency) => frequency > 0),
  ]);
  const minimum = Math.max(0, Math.min(...used.map(([low]) => low!)));
  const maximum = Math.max(0, ...used.map(([, high]) => high!));
  const hashes = Array.from({ length: split.count }, (_, i) =>
    createHash("sha1")
      .update(split.images.subarray(i * imageBytes, (i + 1) * imageBytes))
      .digest("base64"),
  );
  const distinct = new Set(hashes);
  const duplicates = split.count - distinct.size;
  const channels = channelStatistics(split);
  return { report: { count: split.count, perClass, minimum, maximum, channels, duplicates }, hashes, distinct };
}

function problemsOf(part: string, report: SplitReport, classes: readonly string[]): string[] {
  if (report.count === 0) return [`the ${part} part is empty`];
  const problems = classes.flatMap((name, i) => (report.perClass[i] === 0 ? [`the ${part} part has no ${name}`] : []));
  if (report.perClass.length > classes.length) problems.push(`the ${part} part has labels beyond its classes`);
  if (report.minimum === report.maximum)
    problems.push(`all pixels of the ${part} part have the value ${report.minimum}`);
  return problems;
}
