import { describe, expect, it } from "vitest";
import { regnetStages } from "./regnet-stages.ts";

/** As the paper writes them: blocks, widths and one group width. */
const summary = (...parameters: Parameters<typeof regnetStages>) => {
  const stages = regnetStages(...parameters);
  return {
    blocks: stages.map(({ blocks }) => blocks),
    channels: stages.map(({ channels }) => channels),
    groupWidths: [...new Set(stages.map(({ groupWidth }) => groupWidth))],
  };
};

describe("regnetStages", () => {
  it("gives the published blocks and widths of RegNetX-400MF", () => {
    expect(summary({ depth: 22, initialWidth: 24, slope: 24.48, widthRatio: 2.54, groupWidth: 16 })).toEqual({
      blocks: [1, 2, 7, 12],
      channels: [32, 64, 160, 400],
      groupWidths: [16],
    });
  });

  it("gives the published blocks and widths of RegNetX-32GF, whose widths are fitted to whole groups", () => {
    expect(summary({ depth: 23, initialWidth: 320, slope: 69.86, widthRatio: 2, groupWidth: 168 })).toEqual({
      blocks: [2, 7, 13, 1],
      channels: [336, 672, 1344, 2520],
      groupWidths: [168],
    });
  });

  it("rounds halves to even as the published RegNetX-1.6GF: 22.5 * 8 to 176, which groups of 24 make 168", () => {
    expect(summary({ depth: 18, initialWidth: 80, slope: 34.01, widthRatio: 2.25, groupWidth: 24 })).toEqual({
      blocks: [2, 4, 10, 2],
      channels: [72, 168, 408, 912],
      groupWidths: [24],
    });
  });

  it("makes a group no wider than its stage", () => {
    const [only] = regnetStages({ depth: 3, initialWidth: 16, slope: 0, widthRatio: 2, groupWidth: 64 });
    expect(only).toEqual({ blocks: 3, channels: 16, groupWidth: 16 });
  });
});
