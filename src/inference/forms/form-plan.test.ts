import { describe, expect, it } from "vitest";
import { type FormCost, planOf } from "./form-plan.ts";

const portable = (images: number, milliseconds: number): FormCost => ({ form: "portable", images, milliseconds });
const machine = (size: number, milliseconds: number): FormCost => ({
  ...{ form: "machine", size, images: size, milliseconds },
});
const int8 = (images: number, milliseconds: number): FormCost => ({ form: "int8", images, milliseconds });
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

  // Alone 8 ms, eight 57 ms; a blocked batch of eight 40 ms, of 32 150 ms.
  const measured = [portable(1, 8), portable(8, 57), portable(32, 225), machine(8, 40), machine(32, 150)];

  it("takes the quickest for each number of images, with the cost of filling a batch up and of several runs", () => {
    expect(formOf(measured, [1, 5, 6, 8, 9, 11, 12, 16, 17, 21, 32])).toEqual([
      ...["portable", "portable", "machine 8", "machine 8", "portable", "portable"],
      ...["machine 8", "machine 8", "portable", "machine 8", "machine 8"],
    ]);
  });

  it("keeps of the sizes the one that gains most over all numbers of images, the smaller one when in doubt", () => {
    const sizesOf = (at8: number, at16: number) =>
      planOf([...measured.slice(0, 3), machine(8, at8), machine(16, at16)], 32).variants.map(({ size }) => size);
    expect(sizesOf(40, 70)).toEqual([undefined, 8]);
    expect(sizesOf(56, 60)).toEqual([undefined, 16]);
    expect(sizesOf(60, 120)).toEqual([undefined]);
  });

  it("chooses among the sizes of one form where that was asked for", () => {
    expect(formOf([machine(1, 9), machine(8, 40), machine(16, 79)], [1, 4, 5, 8, 10], 16)).toEqual([
      ...["machine 1", "machine 1", "machine 8", "machine 8", "machine 8"],
    ]);
    expect(planOf([int8(1, 3), int8(8, 20)], 2)).toEqual({ variants: [{ form: "int8" }], byCount: [0, 0] });
  });

  it("leaves a gain of less than a twentieth alone", () => {
    expect(formOf([portable(1, 10), portable(32, 320), machine(32, 310)], [1, 32])).toEqual(["portable", "portable"]);
  });

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
