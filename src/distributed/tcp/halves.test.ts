import { describe, expect, it } from "vitest";
import { createRng } from "../../base/rng.ts";
import { fromHalves, toHalves } from "./halves.ts";

function throughHalves(values: readonly number[]) {
  const source = Float32Array.from(values);
  const halves = new Uint16Array(source.length);
  const lost = new Float32Array(source.length);
  const exponent = toHalves(source, halves, lost);
  const back = new Float32Array(source.length);
  fromHalves(halves, exponent, back);
  return { back: [...back], lost: [...lost], halves: [...halves], exponent };
}

describe("halves", () => {
  it("are those of IEEE 754, ties to even", () => {
    // The largest is 2^14, so that the exponent is 0: the codes are known ones.
    const { halves, exponent } = throughHalves([16384, 1, -2, 0.1, 2049, 2051, 2 ** -24, 2 ** -25, 3 * 2 ** -25, 0]);
    expect(exponent).toBe(0);
    expect(halves).toEqual([0x7400, 0x3c00, 0xc000, 0x2e66, 0x6800, 0x6802, 1, 0, 2, 0]);
  });

  it("keep what they lose, whatever the size of the numbers", () => {
    const rng = createRng(3);
    for (const size of [1e-30, 1e-6, 1, 1e30]) {
      const values = Array.from({ length: 1000 }, () => Math.fround(rng.normal() * size));
      const { back, lost } = throughHalves(values);
      const largest = Math.max(...values.map(Math.abs));
      for (const [i, value] of values.entries()) {
        expect(Math.abs(back[i]! - value)).toBeLessThanOrEqual(
          Math.max(Math.abs(value) * 2 ** -11, largest * 2 ** -38),
        );
        expect(back[i]! + lost[i]!).toBeCloseTo(value, -Math.log10(size) + 6);
      }
    }
  });

  it("keep what is no number, and lose nothing of it", () => {
    const { back, lost } = throughHalves([Number.NaN, Number.POSITIVE_INFINITY, -3, Number.NEGATIVE_INFINITY]);
    expect(back).toEqual([Number.NaN, Number.POSITIVE_INFINITY, -3, Number.NEGATIVE_INFINITY]);
    expect(lost).toEqual([0, 0, 0, 0]);
    expect(throughHalves([0, 0]).back).toEqual([0, 0]);
  });
});
