import fc from "fast-check";
import { expect, it } from "vitest";
import { createRng } from "../base/rng.ts";
import { stratifiedSplit } from "./split.ts";

const labelLists = fc.array(fc.nat(7), { maxLength: 400 }).map((list) => Int32Array.from(list));
const fractions = fc.double({ min: 0, max: 0.9, noNaN: true });

it("parts are disjoint, ascending and complete, classes keep their share and their last training image", () => {
  fc.assert(
    fc.property(labelLists, fractions, fc.nat(), (labels, fraction, seed) => {
      const { train, validation } = stratifiedSplit(labels, { fraction, rng: createRng(seed) });
      const all = [...train, ...validation].sort((a, b) => a - b);
      expect(all).toEqual(Array.from(labels, (_, i) => i));
      expect([...train]).toEqual([...train].sort((a, b) => a - b));
      expect([...validation]).toEqual([...validation].sort((a, b) => a - b));
      for (const label of new Set(labels)) {
        const size = labels.filter((l) => l === label).length;
        const held = validation.filter((i) => labels[i] === label).length;
        expect(Math.abs(held - size * fraction)).toBeLessThan(1);
        expect(held).toBeLessThan(size);
      }
    }),
  );
});

it("validation has the rounded share of all images when classes are large enough", () => {
  const labels = Int32Array.from({ length: 1003 }, (_, i) => i % 7);
  expect(stratifiedSplit(labels, { rng: createRng(1) }).validation).toHaveLength(100);
});

it("the seed alone decides", () => {
  const labels = Int32Array.from({ length: 500 }, (_, i) => (i * 7) % 10);
  const split = (seed: number) => stratifiedSplit(labels, { rng: createRng(seed) }).validation;
  expect(split(1)).toEqual(split(1));
  expect(split(1)).not.toEqual(split(2));
});

it.each([-0.1, 1, Number.NaN])("refuses the fraction %s", (fraction) => {
  expect(() => stratifiedSplit(new Int32Array(3), { fraction, rng: createRng(0) })).toThrow(/validation fraction/);
});
