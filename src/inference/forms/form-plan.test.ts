import { describe, expect, it } from "vitest";
import { type FormCost, planOf } from "./form-plan.ts";

const portable = (images: number, milliseconds: number): FormCost => ({ form: "portable", images, milliseconds });
const machine = (size: number, milliseconds: number): FormCost => ({
  ...{ form: "machine", size, images: size, milliseconds },
});
const formOf = (costs: readonly FormCost[], counts: readonly number[], max = 32) => {
  const { variants, byCount } = planOf(costs, max);
  return counts.map((count) => {
    const { form, size } = variants[byCount[count - 1]!]!;
    return size === undefined ? form : `${form} ${size}`;
  });
};

describe("planOf", () => {
  it("takes model.onnx alone where there is nothing else", () => {
    expect(planOf([portable(1, 8), portable(32, 200)], 4)).toEqual({
      variants: [{ form: "portable" }],
      byCount: [0, 0, 0, 0],
    });
  });

  it("takes the quickest for each number of images, with the cost of filling a batch up", () => {
    // Alone 8 ms, eight 57 ms; a blocked batch of eight 40 ms, of 32 150 ms.
    const costs = [portable(1, 8), portable(8, 57), portable(32, 225), machine(8, 40), machine(32, 150)];
    expect(formOf(costs, [1, 5, 6, 8, 9, 21, 22, 32])).toEqual([
      ...["portable", "portable", "machine 8", "machine 8"],
      ...["portable", "portable", "portable", "machine 32"],
    ]);
  });

  it("leaves a gain of less than a twentieth alone", () => {
    expect(formOf([portable(1, 10), portable(32, 320), machine(32, 310)], [1, 32])).toEqual(["portable", "portable"]);
  });

  const int8 = (images: number, milliseconds: number): FormCost => ({ form: "int8", images, milliseconds });

  it("takes the quantised model for all batches where it is the quickest at each size", () => {
    const costs = [portable(1, 8), portable(8, 60), machine(8, 40), int8(1, 3), int8(8, 20)];
    expect(planOf(costs, 16)).toEqual({ variants: [{ form: "int8" }], byCount: new Array(16).fill(0) });
  });

  it("takes it for none where another is as quick at one size: an answer does not depend on its company", () => {
    const costs = [portable(1, 8), portable(8, 60), machine(8, 20), int8(1, 3), int8(8, 20)];
    expect(formOf(costs, [1, 8], 8)).toEqual(["portable", "machine 8"]);
  });

  it("holds no variant that no batch uses", () => {
    const { variants, byCount } = planOf([portable(1, 1), portable(8, 8), machine(8, 100)], 16);
    expect(variants).toEqual([{ form: "portable" }]);
    expect(new Set(byCount)).toEqual(new Set([0]));
  });
});
