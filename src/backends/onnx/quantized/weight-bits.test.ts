import { expect, it } from "vitest";
import { convolutionOfLargest, usableWeightBits } from "./weight-bits.ts";

it("finds out how many bits a weight may have here: so many are exact, 7 always", async () => {
  const bits = await usableWeightBits();
  expect(await convolutionOfLargest(63)).toBe(true);
  expect(await convolutionOfLargest(127)).toBe(bits === 8);
});
