import type { ImageSplit } from "./dataset.ts";

/** Per channel R, G, B, on the scale 0..1. */
export interface ChannelStatistics {
  readonly mean: readonly [number, number, number];
  /** Standard deviation over all pixels (population). */
  readonly std: readonly [number, number, number];
}

/** How often each byte value occurs, for R, G and B. */
export function channelHistograms({ images, height, width }: ImageSplit): readonly [Counts, Counts, Counts] {
  const plane = height * width;
  const histograms = [new Float64Array(256), new Float64Array(256), new Float64Array(256)] as const;
  for (let start = 0, channel = 0; start < images.length; start += plane, channel = (channel + 1) % 3) {
    const histogram = histograms[channel]!;
    for (let i = start; i < start + plane; i++) histogram[images[i]!]!++;
  }
  return [...histograms];
}

type Counts = Float64Array;

/** Mean and standard deviation from exact sums: the same on every machine. All 0 for an empty part. */
export function channelStatistics(split: ImageSplit): ChannelStatistics {
  const [red, green, blue] = channelHistograms(split).map(momentsOf) as [Moments, Moments, Moments];
  return { mean: [red.mean, green.mean, blue.mean], std: [red.std, green.std, blue.std] };
}

interface Moments {
  readonly mean: number;
  readonly std: number;
}

function momentsOf(histogram: Counts): Moments {
  const count = Math.max(
    1,
    histogram.reduce((sum, frequency) => sum + frequency, 0),
  );
  const mean = histogram.reduce((sum, frequency, value) => sum + frequency * value, 0) / count;
  const square = histogram.reduce((sum, frequency, value) => sum + frequency * value * value, 0) / count;
  return { mean: mean / 255, std: Math.sqrt(Math.max(0, square - mean * mean)) / 255 };
}
