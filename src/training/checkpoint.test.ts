import { mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isPipelineError } from "../base/errors.ts";
import { decodeSafetensors, encodeSafetensors, readSafetensors, safetensorsParts } from "../tensor/safetensors.ts";
import { floats, tensor } from "../tensor/tensor.ts";
import { type Checkpoint, loadCheckpoint, readCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { nothingYet } from "./early-stopping.ts";

const checkpointAt = (globalStep: number): Checkpoint => ({
  progress: {
    formatVersion: 1,
    fingerprint: "abc",
    epoch: 2,
    step: 1,
    globalStep,
    running: { loss: 0.1 + 0.2, correct: 3, images: 8, seconds: 1.5 },
    best: nothingYet,
  },
  state: {
    "a.weight": floats([2, 3], [0, -0, 1e-45, Number.NaN, Number.POSITIVE_INFINITY, globalStep]),
    step: tensor("int32", [], Int32Array.of(globalStep)),
    bytes: tensor("uint8", [3], Uint8Array.of(1, 2, 255)),
    half: tensor("float16", [1], Uint16Array.of(0x3c00)),
    empty: floats([0, 4], []),
  },
  bestWeights: { "a.weight": floats([2, 3], [6, 5, 4, 3, 2, 1]) },
});

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "checkpoint-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe("checkpoint", () => {
  it("comes back bit for bit", async () => {
    const path = await saveCheckpoint(directory, checkpointAt(7));
    const { checkpoint, warning } = await loadCheckpoint(directory);
    expect(checkpoint).toEqual(checkpointAt(7));
    expect(Object.is(checkpoint.state["a.weight"]!.data[1], -0)).toBe(true);
    expect(warning).toBeUndefined();
    expect(await readCheckpoint(path)).toEqual(checkpointAt(7));
  });

  it("keeps the one before and leaves nothing half-written", async () => {
    for (const step of [1, 2, 3]) await saveCheckpoint(directory, checkpointAt(step));
    expect((await readdir(directory)).sort()).toEqual(["last.safetensors", "previous.safetensors"]);
    const previous = await readCheckpoint(join(directory, "previous.safetensors"));
    expect(previous.progress.globalStep).toBe(2);
  });

  it.each([
    ["truncated", (bytes: Buffer) => bytes.subarray(0, bytes.length - 5)],
    [
      "altered in its data",
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -3), Buffer.of(bytes.at(-3)! ^ 1), bytes.subarray(-2)]),
    ],
    [
      "altered in its metadata",
      (bytes: Buffer) => Buffer.from(bytes.toString("latin1").replace("abc", "abd"), "latin1"),
    ],
    ["empty", () => Buffer.alloc(0)],
    ["foreign", () => Buffer.from("this is no checkpoint at all")],
  ])("falls back to the previous one, saying so, when the last is %s", async (_what, damage) => {
    await saveCheckpoint(directory, checkpointAt(1));
    const path = await saveCheckpoint(directory, checkpointAt(2));
    await writeFile(path, damage(await readFile(path)));
    const { checkpoint, warning } = await loadCheckpoint(directory);
    expect(checkpoint.progress.globalStep).toBe(1);
    expect(warning).toContain(path);
    expect(warning).toContain("previous checkpoint");
    // The next save must not put the damaged file in place of the whole one.
    await saveCheckpoint(directory, checkpointAt(3));
    expect((await readCheckpoint(join(directory, "previous.safetensors"))).progress.globalStep).toBe(1);
  });

  it("falls back when the process died between the two renames", async () => {
    await saveCheckpoint(directory, checkpointAt(1));
    await saveCheckpoint(directory, checkpointAt(2));
    await rm(join(directory, "last.safetensors"));
    await writeFile(join(directory, "last.safetensors.partial"), "half");
    expect((await loadCheckpoint(directory)).checkpoint.progress.globalStep).toBe(1);
  });

  it("says clearly that there is none, or that the only one is damaged", async () => {
    await expect(loadCheckpoint(directory)).rejects.toSatisfy((e) => isPipelineError(e, "CHECKPOINT_NOT_FOUND"));
    await expect(loadCheckpoint(join(directory, "nowhere"))).rejects.toSatisfy((e) =>
      isPipelineError(e, "CHECKPOINT_NOT_FOUND"),
    );
    await writeFile(join(directory, "last.safetensors"), "damaged");
    await expect(loadCheckpoint(directory)).rejects.toSatisfy((e) => isPipelineError(e, "CHECKPOINT_DAMAGED"));
  });

  it("refuses a safetensors file without progress", async () => {
    const path = join(directory, "last.safetensors");
    await writeFile(path, encodeSafetensors({ tensors: {}, metadata: {} }));
    await expect(readCheckpoint(path)).rejects.toThrow(/cannot be read/);
  });
});

function fileOf(header: string | object, data: Uint8Array, claimed?: bigint): Uint8Array {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(claimed ?? BigInt(json.length));
  return Buffer.concat([size, json, data]);
}

describe("safetensors", () => {
  const four = new Uint8Array(4);
  const entry = (shape: unknown, offsets: unknown, dtype: unknown = "F32") => ({ dtype, shape, data_offsets: offsets });

  it("reads a file written by the reference implementation", () => {
    // safetensors.numpy.save({"x": numpy.array([1.5, -2], dtype="float32")})
    const header = '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
    const data = new Uint8Array(Float32Array.of(1.5, -2).buffer);
    expect(decodeSafetensors(fileOf(header.padEnd(56), data)).tensors).toEqual({ x: floats([2], [1.5, -2]) });
  });

  it.each([
    ["a header length beyond the file", fileOf("{}", four, 1_000_000n)],
    ["a header length of 2^63", fileOf("{}", four, 2n ** 63n)],
    ["no JSON", fileOf("{nope", four)],
    ["an array as header", fileOf("[]", four)],
    ["metadata that is no text", fileOf({ __metadata__: { a: 1 } }, new Uint8Array(0))],
    ["an unknown type", fileOf({ x: entry([1], [0, 4], "F99") }, four)],
    ["a type of the prototype", fileOf({ x: entry([1], [0, 4], "constructor") }, four)],
    ["a negative dimension", fileOf({ x: entry([-1], [0, 4]) }, four)],
    ["a fraction as dimension", fileOf({ x: entry([0.5], [0, 2]) }, four)],
    ["a shape far larger than its bytes", fileOf({ x: entry([1e9, 1e9], [0, 4]) }, four)],
    ["a shape whose product overflows", fileOf({ x: entry([2 ** 52, 2 ** 52, 2 ** 52], [0, 4]) }, four)],
    ["offsets beyond the data", fileOf({ x: entry([2], [0, 8]) }, four)],
    ["overlapping tensors", fileOf({ x: entry([1], [0, 4]), y: entry([1], [0, 4]) }, four)],
    ["a gap", fileOf({ x: entry([1], [4, 8]) }, new Uint8Array(8))],
    ["bytes left over", fileOf({ x: entry([1], [0, 4]) }, new Uint8Array(8))],
    ["offsets that are no pair", fileOf({ x: entry([1], [0]) }, four)],
  ])("refuses %s", (_what, file) => {
    expect(() => decodeSafetensors(file)).toThrow(expect.objectContaining({ code: "CHECKPOINT_DAMAGED" }));
  });

  it("gives back any tensors and metadata", () => {
    const anyTensor = fc.oneof(
      fc.float32Array({ maxLength: 20 }).map((data) => tensor("float32", [data.length], data)),
      fc.int32Array({ maxLength: 20 }).map((data) => tensor("int32", [1, data.length], data)),
      fc.uint8Array({ maxLength: 20 }).map((data) => tensor("uint8", [data.length, 1], data)),
    );
    const name = fc.string().filter((text) => text !== "__metadata__" && text !== "__proto__" && text !== "sha256");
    fc.assert(
      fc.property(fc.dictionary(name, anyTensor), fc.dictionary(name, fc.string()), (tensors, metadata) => {
        const decoded = decodeSafetensors(encodeSafetensors({ tensors, metadata }));
        expect(decoded.metadata).toEqual({ ...metadata });
        expect(Object.keys(decoded.tensors).sort()).toEqual(Object.keys(tensors).sort());
        for (const [key, { dtype, shape, data }] of Object.entries(tensors)) {
          const back = decoded.tensors[key]!;
          expect([back.dtype, back.shape]).toEqual([dtype, shape]);
          expect(Buffer.from(back.data.buffer).equals(Buffer.from(data.buffer, data.byteOffset, data.byteLength))).toBe(
            true,
          );
        }
      }),
    );
  });

  it("notices any single altered byte, with a clear error and nothing else", () => {
    const file = encodeSafetensors({ tensors: { x: floats([4], [1, 2, 3, 4]) }, metadata: { note: "n" } });
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const altered = Uint8Array.from(file);
        altered[at]! ^= change;
        try {
          // White space of the header's end may change without changing its meaning.
          expect(decodeSafetensors(altered, { digest: "required" })).toEqual(decodeSafetensors(file));
        } catch (error) {
          expect(isPipelineError(error, "CHECKPOINT_DAMAGED")).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("reads a file piece by piece as it decodes it at once", async () => {
    const path = join(directory, "pieces");
    const tensors = {
      a: floats([5], [1, 2, 3, 4, 5]),
      __proto: tensor("uint8", [3], Uint8Array.of(7, 8, 9)),
      empty: floats([0], []),
      half: tensor("float16", [], Uint16Array.of(1)),
    };
    const bytes = encodeSafetensors({ tensors, metadata: { note: "n" } });
    await writeFile(path, safetensorsParts({ tensors, metadata: { note: "n" } }));
    expect(await readFile(path)).toEqual(bytes);
    for (const pieceBytes of [1, 3, 8, 1000]) {
      expect(await readSafetensors(path, { pieceBytes, digest: "required" })).toEqual(decodeSafetensors(bytes));
    }
    for (let at = 0; at < bytes.length; at += 5) {
      await writeFile(path, Buffer.from(bytes).subarray(0, at));
      await expect(readSafetensors(path, { pieceBytes: 3 })).rejects.toMatchObject({ code: "CHECKPOINT_DAMAGED" });
    }
    const altered = Uint8Array.from(bytes);
    altered[altered.length - 1]! ^= 1;
    await writeFile(path, altered);
    await expect(readSafetensors(path, { pieceBytes: 3 })).rejects.toThrow(/does not match its digest/);
  });

  it.skipIf(freemem() < 6 * 1024 ** 3)("reads files over 2 GiB", async () => {
    const path = join(directory, "large");
    const count = 2 ** 31 + 8;
    const header = Buffer.from(JSON.stringify({ x: { dtype: "U8", shape: [count], data_offsets: [0, count] } }));
    const file = await open(path, "w");
    try {
      // All but the header and the last byte is a hole, which takes no room on the disk.
      await file.write(fileOf(header.toString(), new Uint8Array(0)));
      await file.write(Uint8Array.of(5), 0, 1, 8 + header.length + count - 1);
    } finally {
      await file.close();
    }
    const { tensors } = await readSafetensors(path);
    expect([tensors.x?.data.length, tensors.x?.data.at(-1)]).toEqual([count, 5]);
  });

  it("answers any bytes with a tensor file or CHECKPOINT_DAMAGED", () => {
    fc.assert(
      fc.property(fc.json(), fc.uint8Array({ maxLength: 40 }), (header, data) => {
        try {
          decodeSafetensors(fileOf(header, data));
        } catch (error) {
          expect(isPipelineError(error, "CHECKPOINT_DAMAGED")).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});
