import { describe, expect, it } from "vitest";
import { compactJson } from "./compact-json.ts";

const pixels = Array.from({ length: 3 * 20 * 20 }, (_, i) => i % 256);
const nested = [0, 1, 2].map((c) =>
  Array.from({ length: 20 }, (_, y) => pixels.slice(400 * c + 20 * y, 400 * c + 20 * y + 20)),
);

describe("compactJson", () => {
  it("packs pixels, flat and nested, and leaves all else", () => {
    const body = { id: "1", short: [1, 2, 3], text: ["a", null, true, -1.5], flat: pixels, nested };
    const bytes = Uint8Array.from(pixels);
    expect(compactJson(JSON.stringify(body))).toEqual({
      ...body,
      flat: { bytes, shape: [1200] },
      nested: { bytes, shape: [3, 20, 20] },
    });
  });

  it.each([
    ["a fraction", 0.5],
    ["a negative number", -1],
    ["256", 256],
    ["a string", "1"],
    ["null", null],
    ["an array", [1]],
  ])("does not take %s for a pixel", (_, value) => {
    const array = [...pixels, value];
    expect(compactJson(JSON.stringify(array))).toEqual(array);
  });

  it("does not pack rows of different lengths", () => {
    const ragged = nested.map((plane, c) => (c === 2 ? plane.slice(1) : plane));
    expect(compactJson(JSON.stringify(ragged))).toEqual(ragged);
  });

  it.each([
    ["half a body", '{"a": [1, 2', "no JSON"],
    ["many values", JSON.stringify(new Array(30_000).fill(0.5)), "more than 20000 values"],
    ["many keys", JSON.stringify(Object.fromEntries(Array.from({ length: 30_000 }, (_, i) => [i, i]))), "more than"],
    ["many empty arrays", `[${new Array(30_000).fill("[]").join()}]`, "more than 20000 values"],
    ["deep nesting", `${"[".repeat(100_000)}${"]".repeat(100_000)}`, "nested more than 16 deep"],
    ["a prototype", '{"a": {"__proto__": {"b": 1}}}', "__proto__"],
  ])("refuses %s", (_, text, message) => {
    expect(() => compactJson(text)).toThrow(
      expect.objectContaining({ code: "REQUEST_INVALID", message: expect.stringContaining(message) }),
    );
  });
});
