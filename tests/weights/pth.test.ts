import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isPipelineError } from "../../src/base/errors.ts";
import { encodeSafetensors } from "../../src/tensor/safetensors.ts";
import { floats } from "../../src/tensor/tensor.ts";
import { readPth } from "../../src/weights/pth.ts";
import { readWeights } from "../../src/weights/read-weights.ts";
import { type Member, pickle, soundFile, torchFile, zip } from "./torch-file.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weights-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const stored = async (bytes: Uint8Array, name = "file"): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
};

const counting = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("readWeights", () => {
  it("reads what torch.save wrote: views, half precision, parameters, wrapped and prefixed", async () => {
    const { tensors, ignored } = await readWeights(new URL("../fixtures/state-dict.pth", import.meta.url).pathname);
    const shapes = Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape]));
    expect(shapes).toEqual({
      ...{ plain: [2, 3, 4], transposed: [6, 4], part: [2, 3], half: [24], brain: [24], double: [24] },
      ...{ parameter: [5], scalar: [], empty: [0, 3] },
    });
    expect(ignored).toEqual(["counter"]);
    const numbers = (name: string): number[] => [...tensors[name]!.data];
    expect(numbers("plain")).toEqual(counting(24));
    expect(numbers("transposed")).toEqual(counting(24).map((i) => (i % 4) * 6 + Math.floor(i / 4)));
    expect(numbers("part")).toEqual([6, 8, 10, 12, 14, 16]);
    expect(numbers("parameter")).toEqual([0, 2, 4, 6, 8]);
    expect(numbers("scalar")).toEqual([1.5]);
    counting(24).forEach((i) => {
      const exact = (i - 12) / 7;
      expect(Math.abs(numbers("half")[i]! - exact)).toBeLessThanOrEqual(Math.abs(exact) * 2 ** -11);
      expect(Math.abs(numbers("brain")[i]! - exact)).toBeLessThanOrEqual(Math.abs(exact) * 2 ** -8);
      expect(numbers("double")[i]).toBe(Math.fround(exact));
    });
  });

  it("reads a safetensors file, also one of other element types", async () => {
    const path = await stored(encodeSafetensors({ tensors: { w: floats([2], [1, 2]) }, metadata: {} }));
    expect([...(await readWeights(path)).tensors.w!.data]).toEqual([1, 2]);
    const header = Buffer.from(
      JSON.stringify({
        h: { dtype: "BF16", shape: [2], data_offsets: [0, 4] },
        n: { dtype: "I64", shape: [], data_offsets: [4, 12] },
      }),
    );
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const other = await readWeights(
      await stored(Buffer.concat([length, header, Buffer.from("803f0040", "hex"), Buffer.alloc(8)])),
    );
    expect([...other.tensors.h!.data]).toEqual([1, 2]);
    expect(other.ignored).toEqual(["n"]);
  });

  it("names the file and what is wrong", async () => {
    await expect(readWeights(join(folder, "nothing.pth"))).rejects.toMatchObject({ code: "WEIGHTS_UNAVAILABLE" });
    await expect(readWeights(folder)).rejects.toThrow(/weights\.safetensors/);
    const path = await stored(Buffer.from("hello, I am no file of weights"), "odd.pth");
    await expect(readWeights(path)).rejects.toMatchObject({ code: "WEIGHTS_DAMAGED" });
    await expect(readWeights(path)).rejects.toThrow(/odd\.pth/);
  });
});

const storage = pickle.storage("0", 4);
const four = { "0": new Uint8Array(16) };
const one = (tensor: Buffer): Buffer => torchFile(pickle.dict(pickle.text("w"), tensor), four);
const members = (change: (sound: Member[]) => Member[]): Buffer =>
  zip(
    change([
      {
        name: "archive/data.pkl",
        data: pickle.file(pickle.dict(pickle.text("w"), pickle.tensor(storage, 0, [4], [1]))),
      },
      { name: "archive/data/0", data: new Uint8Array(16) },
    ]),
  );
const repeated = (text: string, times: number): Buffer => Buffer.from(text.repeat(times), "latin1");

/** Files that attack the reader, and what it must say. */
const hostile: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
  "code by name": [
    torchFile(
      Buffer.concat([pickle.global("os", "system"), pickle.tuple(pickle.text("touch hacked")), Buffer.from("R")]),
    ),
    /"os\.system"/,
  ],
  "code by a name on the stack": [
    torchFile(Buffer.concat([pickle.text("builtins"), pickle.text("eval"), Buffer.from("\x93", "latin1")])),
    /"builtins\.eval"/,
  ],
  "an inherited name": [torchFile(pickle.global("constructor", "x")), /constructor\.x/],
  "an opcode for instances": [torchFile(Buffer.from("(ios\nsystem\n")), /opcode 0x69/],
  "a call of a type": [
    torchFile(Buffer.concat([pickle.global("torch", "FloatStorage"), Buffer.from(")R")])),
    /calls torch\.FloatStorage/,
  ],
  "a call of a value": [torchFile(Buffer.concat([pickle.int(1), Buffer.from(")R")])), /calls what is no name/],
  "a tensor beyond its storage": [one(pickle.tensor(storage, 1, [4], [1])), /exceeds/],
  "a tensor that repeats its storage": [one(pickle.tensor(storage, 0, [1000, 1000, 1000], [0, 0, 0])), /repeats/],
  "a giant shape": [one(pickle.tensor(storage, 0, [2 ** 40, 2 ** 40], [0, 0])), /exceeds/],
  "negative strides": [one(pickle.tensor(storage, 3, [4], [-1])), /no possible shape/],
  "views without end": [
    torchFile(
      pickle.dict(
        ...Array.from({ length: 4000 }, (_, i) => [
          pickle.text(`${i}`),
          pickle.tensor(pickle.storage("0", 4096), 0, [4096], [1]),
        ]).flat(),
      ),
      { "0": new Uint8Array(4 * 4096) },
    ),
    /more than 4 times/,
  ],
  "a storage of another size": [one(pickle.tensor(pickle.storage("0", 5), 0, [4], [1])), /16 bytes, not 5 elements/],
  "a storage that is missing": [one(pickle.tensor(pickle.storage("../../x", 4), 0, [4], [1])), /missing/],
  "a storage of two types": [
    torchFile(
      pickle.dict(
        ...[pickle.text("a"), pickle.tensor(pickle.storage("0", 4), 0, [4], [1])],
        ...[pickle.text("b"), pickle.tensor(pickle.storage("0", 4, "IntStorage"), 0, [4], [1])],
      ),
      four,
    ),
    /two element types/,
  ],
  "no dict": [torchFile(pickle.int(1)), /no dict/],
  "a dict of numbers": [torchFile(pickle.dict(pickle.text("w"), pickle.int(1))), /no tensor/],
  "a dict that holds itself": [
    torchFile(Buffer.concat([Buffer.from("}q\0("), pickle.text("model"), Buffer.from("h\0u")])),
    /no tensor/,
  ],
  "an empty stack": [torchFile(Buffer.from("0")), /more values/],
  "a mark that is missing": [torchFile(Buffer.from("t")), /mark/],
  "a number never stored": [torchFile(Buffer.from("h\x07", "latin1")), /number 7/],
  "endless nesting": [torchFile(repeated("(", 200_000)), /nests too deep/],
  "endless values": [torchFile(repeated("N", 200_000)), /nests too deep/],
  "a text longer than the file": [torchFile(Buffer.from("X\xff\xff\x0f\0", "latin1")), /cut off/],
  "a giant text": [torchFile(Buffer.from("X\xff\xff\xff\xff", "latin1")), /text of 4294967295/],
  "a long number": [torchFile(Buffer.concat([Buffer.of(0x8a, 200), Buffer.alloc(200)])), /200 bytes/],
  "a truncated archive": [soundFile().subarray(0, -30), /zip/],
  "a compressed member": [members(([a, b]) => [a!, { ...b!, method: 8 }]), /compressed/],
  "an encrypted member": [members(([a, b]) => [a!, { ...b!, flags: 1 }]), /encrypted/],
  "two members of a name": [members(([a, b]) => [a!, b!, b!]), /two members/],
  "a member over another": [members(([a, b]) => [a!, { ...b!, at: 0 }]), /overlaps/],
  "a member beyond the end": [members(([a, b]) => [a!, { ...b!, size: 1 << 20 }]), /beyond the end/],
  "a wrong checksum": [members(([a, b]) => [a!, { ...b!, crc: 1 }]), /CRC-32/],
  "big-endian numbers": [
    members((all) => [...all, { name: "archive/byteorder", data: Buffer.from("big") }]),
    /byte order/,
  ],
  "a TorchScript program": [
    members((all) => [...all, { name: "archive/code/x.py", data: Buffer.alloc(1) }]),
    /TorchScript/,
  ],
  "no pickle": [zip([{ name: "other", data: Buffer.alloc(3) }]), /data\.pkl/],
  "the format before 1.6": [pickle.file(pickle.int(1)), /before 1\.6/],
};

describe("readPth", () => {
  it("reads the sound file that the hostile ones are made from", () => {
    const tensors = readPth(soundFile());
    expect([...tensors.keys()]).toEqual(["a", "b"]);
    expect(tensors.get("b")!.bytes).toEqual(Buffer.from(Float32Array.of(2, 3).buffer));
  });

  it.each(Object.entries(hostile))("refuses %s", (_, [file, message]) => {
    let error: unknown;
    try {
      readPth(file);
    } catch (thrown) {
      error = thrown;
    }
    expect(isPipelineError(error, "WEIGHTS_DAMAGED"), String(error)).toBe(true);
    expect(String(error)).toMatch(message);
  });

  const fixture = readFileSync(new URL("../fixtures/state-dict.pth", import.meta.url));
  const sound = { own: soundFile(), torch: fixture };

  it.each(Object.entries(sound))("gives tensors within bounds or an error for any change of bytes: %s", (_, file) => {
    const change = fc.record({
      at: fc.nat({ max: file.length - 1 }),
      bytes: fc.uint8Array({ minLength: 0, maxLength: 12 }),
      remove: fc.nat({ max: 12 }),
    });
    fc.assert(
      fc.property(
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat({ max: file.length })),
        (changes, cut) => {
          let bytes: Buffer = file;
          for (const { at, bytes: inserted, remove } of changes) {
            bytes = Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + remove)]);
          }
          if (cut !== null) bytes = bytes.subarray(0, cut);
          expectSafe(bytes);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("gives tensors within bounds or an error for any pickle", () => {
    const operation = fc.oneof(
      fc.constantFrom(..."(t)]}aesuNRQb0".split("").map((code) => Buffer.from(code))),
      fc.nat({ max: 255 }).map((index) => Buffer.of(0x68, index)),
      fc.nat({ max: 3 }).map((index) => Buffer.of(0x71, index)),
      fc.integer({ min: -5, max: 2 ** 31 }).map(pickle.int),
      fc.constantFrom("storage", "0", "cpu", "state_dict", "__proto__").map(pickle.text),
      fc.constant(pickle.global("torch._utils", "_rebuild_tensor_v2")),
      fc.constant(pickle.global("torch", "FloatStorage")),
      fc.constant(storage),
      fc.constant(pickle.tensor(storage, 0, [2, 2], [2, 1])),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) =>
        expectSafe(torchFile(Buffer.concat(operations), four)),
      ),
      { numRuns: 3000 },
    );
  });
});

function expectSafe(bytes: Buffer): void {
  try {
    const tensors = readPth(bytes);
    const total = [...tensors.values()].reduce((sum, tensor) => sum + tensor.bytes.length, 0);
    expect(total).toBeLessThanOrEqual(4 * bytes.length + 1024);
  } catch (error) {
    if (!isPipelineError(error, "WEIGHTS_DAMAGED")) throw error;
  }
}
