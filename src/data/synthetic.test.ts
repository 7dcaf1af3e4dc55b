import { expect, it } from "vitest";
import { createSyntheticDataset } from "./synthetic.ts";

it("is the same on every machine, balanced, and called synthetic", () => {
  const dataset = createSyntheticDataset();
  expect(dataset).toMatchObject({ name: "synthetic", synthetic: true, origin: "generated", height: 32, width: 32 });
  expect(dataset.digest).toBe("037b749836d75d07fb4770ca97192016cf00568aa9fe24bbcca4ab405a774f51");
  for (const [split, count] of [
    [dataset.train, 5000],
    [dataset.test, 1000],
  ] as const) {
    expect(split.count).toBe(count);
    const perClass = dataset.classes.map((_, label) => split.labels.filter((l) => l === label).length);
    expect(perClass).toEqual(new Array(10).fill(count / 10));
  }
});

it("takes other sizes and seeds", () => {
  const small = createSyntheticDataset({ trainCount: 37, testCount: 11 });
  expect(small.train.images).toHaveLength(37 * 3072);
  expect(small.test.count).toBe(11);
  expect(createSyntheticDataset({ trainCount: 37, testCount: 11, seed: 1 }).digest).not.toBe(small.digest);
});
