import { expect, it } from "vitest";
import { createRng } from "../base/rng.ts";
import { codeFor, codeWeights, roundEven } from "./codes.ts";

const rng = createRng("codes");

it("covers a range with 0 exactly on a byte", () => {
  for (const [low, high] of [
    [0, 6],
    [-3, 0],
    [-1.7, 4.2],
    [0, 0],
  ] as const) {
    const { scale, zeroPoint } = codeFor({ low, high });
    expect(scale).toBeGreaterThan(0);
    expect(Number.isInteger(zeroPoint)).toBe(true);
    expect(scale * (0 - zeroPoint)).toBeLessThanOrEqual(low + 0.51 * scale);
    expect(scale * (255 - zeroPoint)).toBeGreaterThanOrEqual(high - 0.51 * scale);
  }
  expect(codeFor({ low: 0, high: 6 }).zeroPoint).toBe(0);
  expect(codeFor({ low: -3, high: 0 }).zeroPoint).toBe(255);
});

it.each([7, 8] as const)("rounds weights to %i bits, each channel by its own largest", (bits) => {
  const [outputs, inputs] = [4, 30];
  const weights = Float32Array.from(
    { length: outputs * inputs },
    (_, i) => rng.normal() * 10 ** (Math.floor(i / inputs) - 2),
  );
  const bias = Float32Array.from({ length: outputs }, () => rng.normal());
  for (const across of [false, true]) {
    const arranged = across
      ? weights.map((_, i) => weights[(i % outputs) * inputs + Math.floor(i / outputs)]!)
      : weights;
    const coded = codeWeights({ weights: arranged, outputs, across, bias }, 0.01, bits);
    const most = bits === 8 ? 127 : 63;
    for (let o = 0; o < outputs; o++) {
      const own = arranged.map((_, i) => (across ? i % outputs : Math.floor(i / inputs))).map((x) => (x === o ? 1 : 0));
      const indices = [...own.keys()].filter((i) => own[i] === 1);
      const scale = coded.scales[o]!;
      expect(Math.max(...indices.map((i) => Math.abs(coded.weights[i]!)))).toBe(most);
      for (const i of indices) {
        expect(Math.abs(coded.weights[i]! * scale - arranged[i]!)).toBeLessThanOrEqual(0.5 * scale * 1.0001);
      }
      expect(Math.abs(coded.bias[o]! * scale * 0.01 - bias[o]!)).toBeLessThanOrEqual(0.5001 * scale * 0.01);
    }
  }
});

it("widens the scale of a channel whose bias would not fit 32 bits", () => {
  const bias = Float32Array.of(5, 5);
  const coded = codeWeights({ weights: Float32Array.of(1e-9, 1), outputs: 2, across: false, bias }, 1e-3, 8);
  expect([...coded.bias].map((b, i) => b * coded.scales[i]! * 1e-3)).toEqual([
    expect.closeTo(5, 5),
    expect.closeTo(5, 2),
  ]);
  expect(Math.abs(coded.bias[0]!)).toBeLessThanOrEqual(2 ** 30);
  const dead = codeWeights({ weights: Float32Array.of(0, 0), outputs: 1, across: false, bias: undefined }, 1, 8);
  expect([...dead.weights, ...dead.bias]).toEqual([0, 0, 0]);
});

it("rounds halves to the even number", () => {
  expect([-2.5, -1.5, 0.5, 1.5, 2.5, 2.4, -2.6].map(roundEven)).toEqual([-2, -2, 0, 2, 2, 2, -3]);
});
