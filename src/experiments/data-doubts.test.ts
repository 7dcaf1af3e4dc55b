import { describe, expect, it } from "vitest";
import { loadConfig } from "../config/load.ts";
import { allocateSplit } from "../data/image-memory.ts";
import { dataDoubts } from "./data-doubts.ts";

const { config } = loadConfig({ env: {} });

function images(...labels: number[]) {
  const split = allocateSplit(labels.length, 8, 8);
  split.labels.set(labels);
  return split;
}

describe("dataDoubts", () => {
  const dataset = { classes: ["cat", "dog"] };

  it("is silent where every figure can be estimated", () => {
    expect(dataDoubts(config, { dataset, validation: images(0), test: images(0, 1) })).toEqual([]);
  });

  it("names the classes without test images", () => {
    const doubts = dataDoubts(config, { dataset, validation: images(0), test: images(0, 0) });
    expect(doubts).toEqual([expect.stringMatching(/1 of 2 classes have no test image \(dog\)/)]);
  });

  it("says that early stopping can't work without validation images", () => {
    const split = { dataset, validation: undefined, test: images(0, 1) };
    expect(dataDoubts(config, split)).toEqual([expect.stringMatching(/early stopping is off/)]);
    const off = loadConfig({ env: {}, overrides: ["training.early_stopping=false"] }).config;
    expect(dataDoubts(off, split)).toEqual([]);
  });
});
