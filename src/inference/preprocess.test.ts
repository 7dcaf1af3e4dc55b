import { describe, expect, it } from "vitest";
import { tensor } from "../tensor/tensor.ts";
import { normalise, type Preprocessing, stackImages } from "./preprocess.ts";

const preprocessing: Preprocessing = {
  height: 2,
  width: 3,
  resize: "bilinear",
  mean: [0.4914, 0.4822, 0.4465],
  std: [0.247, 0.2435, 0.2616],
};

describe("normalise", () => {
  it("computes (x / 255 - mean) / std in float32 for every byte of every channel", () => {
    const { fround } = Math;
    for (let start = 0; start < 256; start += 6) {
      const plane = Array.from({ length: 6 }, (_, i) => Math.min(255, start + i));
      const images = tensor("uint8", [2, 3, 2, 3], Uint8Array.from([plane, plane, plane, plane, plane, plane].flat()));
      const { data, shape } = normalise(images, preprocessing);
      expect(shape).toEqual([2, 3, 2, 3]);
      data.forEach((value, i) => {
        const channel = Math.floor(i / 6) % 3;
        const scaled = fround(images.data[i]! / 255);
        const mean = fround(preprocessing.mean[channel]!);
        expect(value).toBe(fround(fround(scaled - mean) / fround(preprocessing.std[channel]!)));
      });
    }
  });

  it("gives an image the same bits alone and in a batch", () => {
    const one = tensor(
      "uint8",
      [3, 2, 3],
      Uint8Array.from({ length: 18 }, (_, i) => i * 14),
    );
    const other = tensor("uint8", [3, 2, 3], new Uint8Array(18).fill(200));
    const alone = normalise(stackImages([one]), preprocessing).data;
    expect(normalise(stackImages([other, one]), preprocessing).data.slice(18)).toEqual(alone);
  });

  it("names the wanted and the given shape when they differ", () => {
    const wrong = tensor("uint8", [1, 3, 3, 2], new Uint8Array(18));
    expect(() => normalise(wrong, preprocessing)).toThrow(/\[N, 3, 2, 3\].*\[1,3,3,2\]/);
  });
});

describe("stackImages", () => {
  it("refuses images of different sizes and no image at all", () => {
    const a = tensor("uint8", [3, 2, 3], new Uint8Array(18));
    const b = tensor("uint8", [3, 3, 2], new Uint8Array(18));
    expect(() => stackImages([a, b])).toThrow(/SHAPE|shapes/);
    expect(() => stackImages([])).toThrow(/zero images/);
  });
});
