import { readFileSync } from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  TensorProtoSchema,
} from "../../src/backends/onnx/proto/onnx_pb.ts";
import { readModel } from "../../src/backends/onnx/read-model.ts";
import type { ErrorCode } from "../../src/base/error-codes.ts";
import { isPipelineError, type PipelineError } from "../../src/base/errors.ts";
import { createRng } from "../../src/base/rng.ts";

const { cases } = JSON.parse(readFileSync(new URL("../goldens/onnx-models.json", import.meta.url), "utf8")) as {
  readonly cases: readonly { readonly name: string; readonly file: string }[];
};
const files = new Map(cases.map(({ name, file }) => [name, Buffer.from(file, "base64")]));
const bytesOf = (name: string): Buffer => files.get(name)!;

function failureOf(bytes: Uint8Array): PipelineError | undefined {
  try {
    readModel(bytes, { batch: 2 });
    return undefined;
  } catch (error) {
    if (!isPipelineError(error)) throw error;
    return error;
  }
}

type Changed = ModelProto & { readonly graph: GraphProto };

/** A file with its structure changed. */
function changed(name: string, change: (model: Changed) => void): Uint8Array {
  const model = fromBinary(ModelProtoSchema, bytesOf(name));
  change(model as Changed);
  return toBinary(ModelProtoSchema, model);
}

const firstTensor = ({ graph }: Changed) => graph.initializer[0]!;

/** What is done to a file, and the error that follows. */
const damages: Readonly<Record<string, readonly [(model: Changed) => void, ErrorCode]>> = {
  "a cycle": [({ graph }) => void graph.node.reverse(), "MODEL_DAMAGED"],
  "a missing tensor": [({ graph }) => void graph.initializer.pop(), "MODEL_DAMAGED"],
  "a negative dimension": [(model) => void firstTensor(model).dims.fill(-3n), "MODEL_DAMAGED"],
  "a huge dimension": [(model) => void firstTensor(model).dims.fill(2n ** 50n), "MODEL_DAMAGED"],
  "no nodes": [({ graph }) => void graph.node.splice(0), "MODEL_DAMAGED"],
  "weights in another file": [
    (model) => void Object.assign(firstTensor(model), { dataLocation: 1 }),
    "MODEL_UNSUPPORTED",
  ],
  "half-precision weights": [(model) => void Object.assign(firstTensor(model), { dataType: 10 }), "MODEL_UNSUPPORTED"],
  "an opset of the future": [
    (model) => void Object.assign(model.opsetImport[0]!, { version: 99n }),
    "MODEL_UNSUPPORTED",
  ],
  "a tensor that is there twice": [
    ({ graph }) => void graph.initializer.push(create(TensorProtoSchema, graph.initializer[0]!)),
    "MODEL_DAMAGED",
  ],
};

describe("readModel", () => {
  it("throws nothing but errors of the pipeline on altered files", () => {
    const rng = createRng(21);
    const refused = new Map<string, number>();
    for (let round = 0; round < 1500; round++) {
      const source = bytesOf(cases[rng.int(cases.length)]!.name);
      const bytes = Uint8Array.from(source);
      const length = rng.int(8) === 0 ? rng.int(bytes.length) : bytes.length;
      // Structure is what counts: weights fill most of a file, and any number will do there.
      for (let i = 0; i <= rng.int(4); i++) bytes[rng.int(bytes.length)] = rng.int(256);
      const error = failureOf(bytes.subarray(0, length));
      const code = error?.code ?? "read";
      refused.set(code, (refused.get(code) ?? 0) + 1);
    }
    expect([...refused.keys()].sort()).toEqual(expect.arrayContaining(["MODEL_DAMAGED", "MODEL_UNSUPPORTED", "read"]));
  }, 240_000);

  it("throws nothing but errors of the pipeline on numbers that are out of place", () => {
    const rng = createRng(22);
    const extremes = [0n, 1n, -1n, 2n, 7n, -5n, 255n, 65_537n, 2n ** 31n, 2n ** 40n, 2n ** 63n - 1n, -(2n ** 63n)];
    const any = <T>(list: readonly T[]): T => list[rng.int(list.length)]!;
    const outcomes = new Set<string>();
    for (let round = 0; round < 1500; round++) {
      const bytes = changed(any(cases).name, ({ graph }) => {
        const node = any(graph.node);
        const attribute = node.attribute.length > 0 ? any(node.attribute) : undefined;
        const tensor = any(graph.initializer);
        const change = rng.int(9);
        if (change === 0 && attribute !== undefined) attribute.i = any(extremes);
        else if (change === 1 && attribute !== undefined) attribute.ints = attribute.ints.map(() => any(extremes));
        else if (change === 2 && attribute !== undefined) attribute.ints = attribute.ints.slice(1);
        else if (change === 3 && tensor.dims.length > 0) tensor.dims[rng.int(tensor.dims.length)] = any(extremes);
        else if (change === 4) node.input = [...node.input.slice(1), ...node.input.slice(0, 1)];
        else if (change === 5) node.input[rng.int(node.input.length + 1)] = any(any(graph.node).output);
        else if (change === 6) node.opType = any(graph.node).opType;
        else if (change === 7 && attribute?.t !== undefined) {
          attribute.t.rawData = Uint8Array.from(attribute.t.rawData, () => rng.int(256));
        } else node.input = node.input.slice(0, rng.int(node.input.length + 1));
      });
      outcomes.add(failureOf(bytes)?.code ?? "read");
    }
    expect([...outcomes]).toEqual(expect.arrayContaining(["MODEL_DAMAGED", "MODEL_UNSUPPORTED", "read"]));
  }, 240_000);

  it("names every operator that it lacks, with counts and nodes", () => {
    const bytes = changed("plain", ({ graph }) => {
      for (const node of graph.node) {
        if (node.opType === "Conv") [node.opType, node.name] = ["Einsum", `product of ${node.output[0]}`];
        if (node.opType === "Gemm") [node.opType, node.domain] = ["FusedGemm", "com.microsoft"];
      }
    });
    const error = failureOf(bytes)!;
    expect(error.code).toBe("MODEL_UNSUPPORTED");
    expect(error.message).toMatch(/2 x Einsum \(not in the set: "product of/);
    expect(error.message).toMatch(/1 x com.microsoft.FusedGemm/);
  });

  it.each(Object.entries(damages))("refuses %s", (_, [change, code]) => {
    const error = failureOf(changed("plain", change));
    expect(error?.code).toBe(code);
    expect(error?.message).toMatch(/; /);
  });
});
