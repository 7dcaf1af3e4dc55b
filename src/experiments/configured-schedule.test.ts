import { describe, expect, it } from "vitest";
import { loadConfig } from "../config/load.ts";
import { configuredSchedule } from "./configured-optimizer.ts";

const factors = (...overrides: string[]): number[] => {
  const { config } = loadConfig({ env: {}, overrides });
  const schedule = configuredSchedule(config, { epochs: config.training.num_epochs, stepsPerEpoch: 2 });
  return Array.from({ length: 2 * config.training.num_epochs }, (_, step) => schedule(step));
};

const close = (actual: readonly number[], expected: readonly number[]): void => {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i]!, 12);
};

describe("configuredSchedule", () => {
  // Its formula; the schedule itself is compared with PyTorch's values where it is defined.
  it("gives PyTorch's OneCycleLR for onecycle: half a cosine up in three tenths of the epochs, one down", () => {
    const down = Array.from({ length: 8 }, (_, i) => 0.01 + (0.99 * (1 + Math.cos((Math.PI * i) / 7))) / 2);
    const overrides = ["training.num_epochs=5", "training.scheduler=onecycle", "training.final_lr_fraction=0.01"];
    close(factors(...overrides), [0.1, 0.55, ...down]);
  });

  it("gives straight lines for triangle, the default", () => {
    close(factors("training.num_epochs=5"), [0.1, 0.55, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]);
  });
});
