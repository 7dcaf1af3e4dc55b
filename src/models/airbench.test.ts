import { describe, expect, it } from "vitest";
import golden from "../../tests/goldens/optim.json" with { type: "json" };
import { createRng } from "../base/rng.ts";
import { floats } from "../tensor/tensor.ts";
import { airbench } from "./airbench.ts";
import { initialWeights, parameterCount } from "./model.ts";
import { symmetricEigen } from "./symmetric-eigen.ts";
import { whiteningFilters } from "./whitening.ts";

describe("symmetricEigen", () => {
  it("solves a matrix with known eigenvalues", () => {
    const { values, vectors } = symmetricEigen([
      [2, -1, 0],
      [-1, 2, -1],
      [0, -1, 2],
    ]);
    [2 + Math.SQRT2, 2, 2 - Math.SQRT2].forEach((value, i) => {
      expect(values[i]).toBeCloseTo(value, 12);
    });
    expect(vectors[1]!.map(Math.abs)).toEqual([Math.SQRT1_2, 0, Math.SQRT1_2].map((v) => expect.closeTo(v, 12)));
  });

  it("satisfies A v = lambda v with orthonormal v for random matrices", () => {
    const rng = createRng("eigen");
    for (const size of [1, 2, 7, 12]) {
      const half = Array.from({ length: size }, () => Array.from({ length: size }, () => rng.normal()));
      const a = half.map((row, i) => row.map((value, j) => value + half[j]![i]!));
      const { values, vectors } = symmetricEigen(a);
      vectors.forEach((v, i) => {
        a.forEach((row, r) => {
          const product = row.reduce((sum, value, c) => sum + value * v[c]!, 0);
          expect(product).toBeCloseTo(values[i]! * v[r]!, 10);
        });
        vectors.forEach((w, j) => {
          expect(v.reduce((sum, value, k) => sum + value * w[k]!, 0)).toBeCloseTo(i === j ? 1 : 0, 12);
        });
      });
      expect([...values].sort((x, y) => y - x)).toEqual(values);
    }
  });

  it("refuses what is not symmetric or not finite", () => {
    expect(() =>
      symmetricEigen([
        [1, 2],
        [3, 4],
      ]),
    ).toThrow(/symmetric/);
    expect(() => symmetricEigen([[Number.NaN]])).toThrow(/finite/);
  });
});

describe("whiteningFilters", () => {
  const { images, filters } = golden.whitening;
  const ours = whiteningFilters(floats(images.shape, images.data), { kernel: 2 });

  it("equals PyTorch's eigenvectors over the root of the eigenvalues, up to sign", () => {
    expect(ours.shape).toEqual([24, 3, 2, 2]);
    for (let i = 0; i < 12; i++) {
      const expected = filters.slice(i * 12, i * 12 + 12);
      const actual = Array.from(ours.data.slice(i * 12, i * 12 + 12));
      const sign = Math.sign(expected.reduce((sum, value, k) => sum + value * actual[k]!, 0));
      actual.forEach((value, k) => {
        expect(value * sign).toBeCloseTo(expected[k]!, 5);
      });
    }
  });

  it("repeats the filters negated", () => {
    for (let i = 0; i < 144; i++) expect(ours.data[144 + i]).toBe(-ours.data[i]!);
  });
});

describe("airbench", () => {
  it("starts with identity filters on the first input channels", () => {
    const model = airbench({ classes: 10, widthFactor: 0.125, whitening: "trained" });
    const { data, shape } = initialWeights(model, createRng(1))["block2.conv1.weight"]!;
    expect(shape).toEqual([32, 8, 3, 3]);
    for (let o = 0; o < 8; o++) {
      for (let i = 0; i < 72; i++) expect(data[o * 72 + i]).toBe(i === o * 9 + 4 ? 1 : 0);
    }
    expect(data.slice(8 * 72).every((value) => value !== 0 && Math.abs(value) <= 1 / Math.sqrt(72))).toBe(true);
  });

  it("asks for training images where its first layer is computed from them", () => {
    expect(() => initialWeights(airbench({ classes: 10 }), createRng(1))).toThrow(/training images/);
  });

  it("has the widths of airbench93 on request", () => {
    // 312 + (24*64 + 64^2 + 64*128 + 3*128^2) * 9 + 2*64 + 4*128 + 1280
    expect(parameterCount(airbench({ classes: 10, blockWidths: [64, 128, 128] }))).toBe(
      312 + (24 * 64 + 64 ** 2 + 64 * 128 + 3 * 128 ** 2) * 9 + 2 * 64 + 4 * 128 + 1280,
    );
  });

  it("can divide the head by its standard deviation", () => {
    const model = airbench({ classes: 10, headInit: "unitStd", whitening: "trained" });
    const { data } = initialWeights(model, createRng(1))["head.weight"]!;
    const mean = data.reduce((sum, v) => sum + v, 0) / data.length;
    const variance = data.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (data.length - 1);
    expect(variance).toBeCloseTo(1, 5);
  });

  it("refuses images that it cannot pool three times", () => {
    expect(() => airbench({ classes: 10, height: 16, width: 16 })).toThrow(/16x16/);
    expect(() => airbench({ classes: 10, height: 32, width: 40 })).toThrow(/32x40/);
  });
});
