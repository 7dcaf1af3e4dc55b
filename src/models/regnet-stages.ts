/** A RegNet by its parametrisation (Radosavovic et al. 2020, section 3.3). */
export interface RegNetParameters {
  /** Blocks in all. */
  readonly depth: number;
  /** w_0: channels of the first block. */
  readonly initialWidth: number;
  /** w_a: channels that each block adds, before quantisation. */
  readonly slope: number;
  /** w_m: ratio of the widths of neighbouring stages. */
  readonly widthRatio: number;
  /** Channels in a group of the 3x3 convolutions. */
  readonly groupWidth: number;
}

/** Blocks of the same width. */
export interface RegNetStage {
  readonly blocks: number;
  readonly channels: number;
  readonly groupWidth: number;
}

/** Widths are multiples of it. */
const QUANTUM = 8;

/**
 * The stages of a RegNet: block i has the linear width u = w_0 + w_a i, rounded to w_0 w_m^k with the whole number k
 * that fits best, then to a multiple of 8 (equations 2 to 4). Neighbours of the same width are a stage, whose width is
 * then fitted to whole groups.
 */
export function regnetStages(parameters: RegNetParameters): RegNetStage[] {
  const { depth, initialWidth, slope, widthRatio, groupWidth } = parameters;
  const blocksByWidth = new Map<number, number>();
  for (let index = 0; index < depth; index++) {
    const exponent = Math.round(Math.log1p((slope * index) / initialWidth) / Math.log(widthRatio));
    const width = roundHalfToEven((initialWidth * widthRatio ** exponent) / QUANTUM) * QUANTUM;
    blocksByWidth.set(width, (blocksByWidth.get(width) ?? 0) + 1);
  }
  return [...blocksByWidth].map(([width, blocks]) => {
    const group = Math.min(groupWidth, width);
    return { blocks, channels: roundToMultiple(width, group), groupWidth: group };
  });
}

/** The nearest multiple, at least one and not below nine tenths of the number. */
function roundToMultiple(channels: number, multiple: number): number {
  const rounded = Math.max(1, Math.floor(channels / multiple + 0.5)) * multiple;
  return rounded < 0.9 * channels ? rounded + multiple : rounded;
}

/** As the published models were rounded: regnet_x_1_6gf has a width of 22.5 * 8, which becomes 22 * 8. */
function roundHalfToEven(x: number): number {
  const rounded = Math.round(x);
  return rounded - x === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
