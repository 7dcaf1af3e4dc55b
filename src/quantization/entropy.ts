import type { Histogram } from "./histogram.ts";

const levels = 256;
/** An end is tried at every 128th of the way from 0, but for the first eighth. */
const steps = 128;
const smallest = 16;

/**
 * The range, within that of the histogram, whose 256 codes lose least: the distribution with all outliers at its ends,
 * against the same where each code is spread over what it stands for (Migacz 2017, "8-bit inference with TensorRT").
 * The upper end is chosen first, then the lower one, as both need not be equally far from 0.
 */
export function entropyRange(histogram: Histogram): { low: number; high: number } {
  const { low, high, width, counts } = histogram;
  if (!(width > 0)) return { low, high };
  const binOf = (edge: number): number => Math.min(counts.length, Math.max(0, Math.round((edge - low) / width)));
  const cut = (edge: number, lossAt: (bin: number) => number): number => {
    let best = { loss: Number.POSITIVE_INFINITY, bin: binOf(edge) };
    for (let step = smallest; step <= steps; step++) {
      const bin = binOf((edge * step) / steps);
      const loss = lossAt(bin);
      // Of equals the wider range.
      if (loss <= best.loss) best = { loss, bin };
    }
    return best.bin;
  };
  const lossOf = (first: number, last: number): number =>
    last - first < levels ? Number.POSITIVE_INFINITY : divergence(counts, first, last);
  const last = high > 0 ? cut(high, (bin) => lossOf(0, bin)) : counts.length;
  const first = low < 0 ? cut(low, (bin) => lossOf(bin, last)) : 0;
  return { low: low + width * first, high: low + width * last };
}

/** Kullback-Leibler divergence in nats of the cut distribution from its 256 codes, bins first..last-1. */
export function divergence(counts: Float64Array, first: number, last: number): number {
  const inside = counts.subarray(first, last);
  const cut = inside.slice();
  for (let bin = 0; bin < first; bin++) cut[0]! += counts[bin]!;
  for (let bin = last; bin < counts.length; bin++) cut[cut.length - 1]! += counts[bin]!;
  const coded = new Float64Array(inside.length);
  for (let level = 0; level < levels; level++) {
    const [from, to] = [level, level + 1].map((edge) => Math.floor((edge * inside.length) / levels)) as [
      number,
      number,
    ];
    let sum = 0;
    let filled = 0;
    for (let bin = from; bin < to; bin++) {
      sum += inside[bin]!;
      if (cut[bin]! > 0) filled += 1;
    }
    for (let bin = from; bin < to; bin++) if (cut[bin]! > 0) coded[bin] = sum / filled;
  }
  const [total, codedTotal] = [cut, coded].map((all) => all.reduce((a, b) => a + b, 0)) as [number, number];
  let loss = 0;
  for (let bin = 0; bin < cut.length; bin++) {
    const p = cut[bin]! / total;
    // A code that only outliers fill would have no probability at all.
    const q = Math.max(coded[bin]! / codedTotal, 1e-12);
    if (p > 0) loss += p * Math.log(p / q);
  }
  return loss;
}
