import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { models } from "../models/registry.ts";
import { publishedWeights } from "./published.ts";

const golden = JSON.parse(
  readFileSync(new URL("../../tests/goldens/published-weights.json", import.meta.url), "utf8"),
) as {
  weights: Record<string, { url: string; mebibytes: number; mean: number[]; std: number[] }>;
};

describe("publishedWeights", () => {
  it.each(Object.entries(golden.weights))("knows torchvision's default weights of %s", (name, expected) => {
    const { url, mebibytes, mean, std, file, sha256 } = publishedWeights(name)!;
    const { url: theirs, mebibytes: size, mean: m, std: s } = expected;
    expect({ url, mebibytes, mean, std }).toEqual({ url: theirs, mebibytes: size, mean: m, std: s });
    expect(sha256).toMatch(/^[0-9a-f]{8}$/);
    expect(file).toContain(`-${sha256}.pth`);
  });

  it("covers every architecture but those that are at home on small images", () => {
    const without = Object.keys(models).filter((name) => publishedWeights(name) === undefined);
    expect(without).toEqual(["resnet9", "airbench"]);
    expect(publishedWeights("toString")).toBeUndefined();
  });
});
