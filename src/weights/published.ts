import { type Architecture, architectures } from "../models/catalogue.ts";

/** A file of weights that torchvision publishes. */
export interface PublishedWeights {
  readonly url: string;
  readonly file: string;
  /** The first hexadecimal digits of the file's SHA-256. */
  readonly sha256: string;
  /** In MiB, rounded to three decimals. */
  readonly mebibytes: number;
  /** Normalisation that they were trained with: per channel, on the scale 0..1. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** Of the images of ImageNet. */
export const imagenetStatistics = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;

/** What was normalised otherwise than by the statistics of ImageNet. */
const normalisations: Readonly<Record<string, Pick<PublishedWeights, "mean" | "std">>> = {
  efficientnet_v2_l: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
};

/** The published weights of an architecture; undefined where there are none. */
export function publishedWeights(architecture: string): PublishedWeights | undefined {
  const known: Readonly<Record<string, Architecture>> = architectures;
  const weights = Object.hasOwn(known, architecture) ? known[architecture]?.weights : undefined;
  if (weights === undefined) return undefined;
  const [file, mebibytes] = weights;
  const sha256 = file.slice(-"01234567.pth".length, -".pth".length);
  const normalisation = normalisations[architecture] ?? imagenetStatistics;
  return { url: `https://download.pytorch.org/models/${file}`, file, sha256, mebibytes, ...normalisation };
}
