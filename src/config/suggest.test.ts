import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { editDistance, suggestKey, suggestWord } from "./suggest.ts";

describe("editDistance", () => {
  it("counts insertions, deletions, substitutions and swaps of neighbours", () => {
    expect(editDistance("kitten", "sitting", 100)).toBe(3);
    expect(editDistance("", "abc", 100)).toBe(3);
    expect(editDistance("same", "same", 100)).toBe(0);
    expect(editDistance("abc", "xyz", 2)).toBe(2);
    expect(editDistance("modle", "model", 100)).toBe(1);
  });

  it("is symmetric, zero only for equal words, and at most the longer length", () => {
    const word = fc.string({ maxLength: 8 });
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(editDistance(a, b, 100)).toBe(editDistance(b, a, 100));
        expect(editDistance(a, b, 100) === 0).toBe(a === b);
        expect(editDistance(a, b, 100)).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });
});

describe("suggestKey", () => {
  const known = ["training.batch_size", "training.seed", "evaluation.batch_size", "dataset.data_dir", "model.name"];
  it.each([
    ["batch_size", "training.batch_size"],
    ["evaluation.batch_sise", "evaluation.batch_size"],
    ["training.data_dir", "dataset.data_dir"],
    ["data_dirr", "dataset.data_dir"],
    ["Training.Seed", "training.seed"],
  ])("%s -> %s", (key, meant) => expect(suggestKey(key, known)).toBe(meant));

  it("stays silent when nothing is near", () => {
    expect(suggestKey("zzz.qqqqqqq", known)).toBeUndefined();
    expect(suggestWord("q", ["adamw"])).toBeUndefined();
  });
});
