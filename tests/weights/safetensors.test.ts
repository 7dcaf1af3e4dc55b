import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPipelineError } from "../../src/base/errors.ts";
import { encodeSafetensors, parseSafetensors } from "../../src/tensor/safetensors.ts";
import { floats } from "../../src/tensor/tensor.ts";

/** A file with this header, as JSON text or its object, and so many bytes of data. */
function file(header: unknown, dataBytes = 0): Buffer {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(dataBytes)]);
}

const entry = (shape: unknown, begin: number, end: number, dtype: unknown = "F32") => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const claimed = (bytes: bigint): Buffer => {
  const length = Buffer.alloc(16, " ");
  length.writeBigUInt64LE(bytes);
  return length;
};
const deep = 200_000;

/** Files that attack the reader, and what it must say. */
const hostile: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
  "a header beyond the end": [claimed(9n), /header claims 9 bytes of 16/],
  "a giant header": [claimed(2n ** 63n), /header claims/],
  "no JSON": [file("{"), /no JSON/],
  "a list": [file("[]"), /no JSON object/],
  "nesting without end": [file(`{"w":${"[".repeat(deep)}${"]".repeat(deep)}}`), /no object|no JSON/],
  "a shape that nests without end": [
    file(`{"w":{"dtype":"F32","shape":${"[".repeat(deep)}${"]".repeat(deep)},"data_offsets":[0,0]}}`),
    /impossible shape|no JSON/,
  ],
  "a type that nests without end": [
    file(`{"w":{"dtype":${"[".repeat(deep)}${"]".repeat(deep)},"shape":[],"data_offsets":[0,4]}}`, 4),
    /unknown element type|no JSON/,
  ],
  "a giant shape": [file({ w: entry([2 ** 40, 2 ** 40], 0, 16) }, 16), /does not fill/],
  "a shape of fractions": [file({ w: entry([0.5, 8], 0, 16) }, 16), /impossible shape/],
  "a negative shape": [file({ w: entry([-2, -2], 0, 16) }, 16), /impossible shape/],
  "a shape of many dimensions": [file({ w: entry(Array(1000).fill(1), 0, 4) }, 4), /impossible shape/],
  "data beyond the end": [file({ w: entry([4], 0, 16) }, 12), /lies at 0\.\.16/],
  "tensors that overlap": [file({ a: entry([2], 0, 8), b: entry([2], 4, 12) }, 12), /lies at 4\.\.12/],
  "a gap": [file({ a: entry([1], 0, 4), b: entry([1], 8, 12) }, 12), /lies at 8\.\.12/],
  "data that nothing names": [file({ a: entry([1], 0, 4) }, 8), /8 bytes of data/],
  "the same name twice": [
    file(
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
      8,
    ),
    /lies at 4\.\.8/,
  ],
  "offsets backwards": [file({ w: entry([0], 4, 0) }, 4), /does not fill/],
  "a type of code": [file({ w: entry([1], 0, 4, "constructor") }, 4), /unknown element type "constructor"/],
  "metadata of numbers": [file({ __metadata__: { a: 1 } }), /"a" is no text/],
};

describe("parseSafetensors", () => {
  it.each(Object.entries(hostile))("refuses %s", (_, [bytes, message]) => {
    let error: unknown;
    try {
      parseSafetensors(bytes);
    } catch (thrown) {
      error = thrown;
    }
    expect(isPipelineError(error, "CHECKPOINT_DAMAGED"), String(error)).toBe(true);
    expect(String(error)).toMatch(message);
    expect(String(error).length).toBeLessThan(500);
  });

  it("keeps long names out of its message", () => {
    const error = (() => {
      try {
        return parseSafetensors(file({ ["n".repeat(1e6)]: 1 }));
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(String(error).length).toBeLessThan(500);
  });

  it("knows a name that objects inherit for a name", () => {
    const { entries } = parseSafetensors(file('{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4));
    expect([...entries.keys()]).toEqual(["__proto__"]);
  });

  it("gives tensors within bounds or an error for any change of bytes", () => {
    const sound = Buffer.from(
      encodeSafetensors({
        tensors: { a: floats([2, 2], [0, 1, 2, 3]), b: floats([3], [4, 5, 6]) },
        metadata: { k: "v" },
      }),
    );
    const change = fc.record({
      at: fc.nat({ max: sound.length - 1 }),
      bytes: fc.oneof(
        fc.uint8Array({ maxLength: 12 }),
        fc.constantFrom("9", "-", "[", "]", '"', ",", "{", "}", "e9", "F16", "null").map((text) => Buffer.from(text)),
      ),
      remove: fc.nat({ max: 12 }),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        let bytes: Buffer = sound;
        for (const { at, bytes: inserted, remove } of changes) {
          bytes = Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + remove)]);
        }
        try {
          const { entries } = parseSafetensors(bytes);
          const total = [...entries.values()].reduce((sum, tensor) => sum + tensor.bytes.length, 0);
          expect(total).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          if (!isPipelineError(error, "CHECKPOINT_DAMAGED")) throw error;
        }
      }),
      { numRuns: 3000 },
    );
  });
});
