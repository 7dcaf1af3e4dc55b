import { entropyRange } from "./entropy.ts";
import type { Histogram } from "./histogram.ts";

/** What the bytes of an activation have to cover; 0 is always within. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/**
 * - minmax: everything that was seen
 * - percentile: all but one in ten thousand at either end
 * - entropy: cut so that least is lost of the distribution (Kullback-Leibler)
 */
export const calibrationMethods = ["minmax", "percentile", "entropy"] as const;
export type CalibrationMethod = (typeof calibrationMethods)[number];

const outliers = 1e-4;

export function rangeOf(method: CalibrationMethod, histogram: Histogram): Range {
  switch (method) {
    case "minmax":
      return withZero(histogram);
    case "percentile":
      return withZero({ low: quantile(histogram, outliers), high: quantile(histogram, 1 - outliers) });
    case "entropy":
      return withZero(entropyRange(histogram));
    default:
      return method satisfies never;
  }
}

/** The value below which a share of all lies, within the width of a bin. */
export function quantile({ low, width, counts }: Histogram, share: number): number {
  const total = counts.reduce((a, b) => a + b, 0);
  let below = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    const next = below + counts[bin]!;
    if (next >= share * total && counts[bin]! > 0) {
      return low + width * (bin + (share * total - below) / counts[bin]!);
    }
    below = next;
  }
  return low + width * counts.length;
}

function withZero({ low, high }: Range): Range {
  return { low: Math.min(0, low), high: Math.max(0, high) };
}
