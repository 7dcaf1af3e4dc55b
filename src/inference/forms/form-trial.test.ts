import { describe, expect, it } from "vitest";
import { tensor } from "../../tensor/tensor.ts";
import type { FormVariant } from "./form-plan.ts";
import type { FormRunner } from "./form-runner.ts";
import { tryForms } from "./form-trial.ts";

const classCount = 3;
const sample = tensor(
  "uint8",
  [5, 3, 1, 1],
  Uint8Array.from({ length: 15 }, (_, i) => (i * 37) % 256),
);
let now = 0;

/** Logits are the pixels, off by `off`; a run takes so many ms on the test's own clock. */
function runner(variant: FormVariant, milliseconds: (images: number) => number, off = 0): FormRunner {
  return {
    variant,
    async run({ data, shape }) {
      now += milliseconds(variant.size ?? shape[0]!);
      return Float32Array.from(data, (pixel) => pixel + off);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const attempt = (runners: readonly FormRunner[], leastAgreement = 0.9) =>
  tryForms({ runners, sample, classCount, maxBatchSize: 16, leastAgreement, clock: () => now });

const portable = runner({ form: "portable" }, (images) => 10 * images);

describe("tryForms", () => {
  it("times each variant at its sizes and plans by that", async () => {
    const { plan, costs, refused } = await attempt([
      portable,
      runner({ form: "machine", size: 8 }, () => 40),
      runner({ form: "machine", size: 16 }, () => 300),
    ]);
    expect(refused).toEqual([]);
    expect(
      costs.filter(({ form }) => form === "portable").map(({ images, milliseconds }) => [images, milliseconds]),
    ).toEqual([
      [1, 10],
      [8, 80],
      [16, 160],
    ]);
    expect(plan).toEqual({
      variants: [{ form: "portable" }, { form: "machine", size: 8 }],
      byCount: [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    });
  });

  it("refuses one whose logits are not model.onnx's, whatever its speed", async () => {
    const { plan, refused } = await attempt([portable, runner({ form: "machine", size: 8 }, () => 1, 1)]);
    expect(refused).toEqual([{ variant: { form: "machine", size: 8 }, reason: expect.stringContaining("1 off") }]);
    expect(plan.variants).toEqual([{ form: "portable" }]);
    const nan = await attempt([portable, runner({ form: "machine", size: 8 }, () => 1, Number.NaN)]);
    expect(nan.refused[0]!.reason).toBe("a logit is not finite");
  });

  it("judges the quantised model by the classes that it names", async () => {
    const quick = () => 1;
    expect((await attempt([portable, runner({ form: "int8" }, quick, 5)])).plan.variants).toEqual([{ form: "int8" }]);
    const turned: FormRunner = {
      ...runner({ form: "int8" }, quick),
      run: async ({ data }) => Float32Array.from(data, (pixel) => -pixel),
    };
    const { plan, refused } = await attempt([portable, turned]);
    expect(plan.variants).toEqual([{ form: "portable" }]);
    expect(refused[0]!.reason).toMatch(/names model\.onnx's class for 0\.0 %.*90\.0 % are wanted/);
  });
});
