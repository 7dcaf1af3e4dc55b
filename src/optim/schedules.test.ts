import { describe, expect, it } from "vitest";
import golden from "../../tests/goldens/optim.json" with { type: "json" };
import {
  constantSchedule,
  cosineSchedule,
  linearToZero,
  oneCycleSchedule,
  type Schedule,
  stepSchedule,
  triangleSchedule,
  withWarmup,
} from "./schedules.ts";

const schedules: Record<keyof typeof golden.schedules, Schedule> = {
  step: stepSchedule({ everySteps: 3, gamma: 0.3 }),
  cosine: cosineSchedule({ totalSteps: 10, final: 0.05 }),
  oneCycleLinear: oneCycleSchedule({ totalSteps: 20, rise: 0.3, anneal: "linear", initial: 0.2, final: 0.002 }),
  oneCycleCosine: oneCycleSchedule({ totalSteps: 20, rise: 0.25 }),
  warmupCosine: withWarmup(cosineSchedule({ totalSteps: 7, final: 0.05 }), { steps: 3, initial: 0.1 }),
};

describe("schedules", () => {
  it.each(Object.entries(schedules))("%s gives PyTorch's values", (name, schedule) => {
    golden.schedules[name as keyof typeof schedules].forEach((value, step) => {
      expect(schedule(step), `step ${step}`).toBeCloseTo(value, 10);
    });
  });

  it("triangle rises and falls in straight lines", () => {
    const schedule = triangleSchedule({ totalSteps: 100, rise: 0.23, initial: 0.2, final: 0.07 });
    expect(schedule(0)).toBeCloseTo(0.2, 12);
    expect(schedule(10)).toBeCloseTo(0.2 + (0.8 * 10) / 23, 12);
    expect(schedule(23)).toBe(1);
    expect(schedule(99)).toBeCloseTo(1 - (0.93 * 76) / 77, 12);
    expect(schedule(100)).toBeCloseTo(0.07, 12);
  });

  it("linearToZero ends at zero and stays there", () => {
    expect([0, 1, 4, 9].map(linearToZero(4))).toEqual([1, 0.75, 0, 0]);
  });

  it.each([
    ["onecycle of one step", oneCycleSchedule({ totalSteps: 1 })],
    ["onecycle that only rises", oneCycleSchedule({ totalSteps: 5, rise: 1 })],
    ["onecycle that only falls", oneCycleSchedule({ totalSteps: 5, rise: 0 })],
    ["triangle that only falls", triangleSchedule({ totalSteps: 5, rise: 0, initial: 0.2, final: 0 })],
    ["triangle that only rises", triangleSchedule({ totalSteps: 5, rise: 1, initial: 0.2, final: 0 })],
    ["no warm-up", withWarmup(constantSchedule, { steps: 0 })],
  ])("%s stays finite and within 0..1 for every step", (_name, schedule) => {
    for (let step = 0; step < 8; step++) {
      expect(schedule(step)).toBeGreaterThanOrEqual(0);
      expect(schedule(step)).toBeLessThanOrEqual(1);
    }
  });

  it("refuses a period of zero", () => {
    expect(() => cosineSchedule({ totalSteps: 0 })(0)).toThrow(/totalSteps/);
  });
});
