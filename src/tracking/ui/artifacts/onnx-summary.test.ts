import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ModelProtoSchema } from "../../../backends/onnx/proto/onnx_pb.ts";
import { summariseOnnx } from "./onnx-summary.ts";

describe("summariseOnnx", () => {
  it("counts operators and weights and names inputs and outputs", () => {
    const model = create(ModelProtoSchema, {
      irVersion: 10n,
      producerName: "somebody",
      graph: {
        node: [{ opType: "Conv" }, { opType: "Relu" }, { opType: "Conv" }],
        initializer: [
          { name: "w", dims: [300n, 3n], dataType: 1, rawData: new Uint8Array(3600) },
          { name: "scalar", dims: [], dataType: 1, floatData: [1] },
        ],
        input: [{ name: "images" }],
        output: [{ name: "logits" }],
      },
    });
    expect(summariseOnnx(toBinary(ModelProtoSchema, model))).toEqual({
      producer: "somebody",
      irVersion: 10,
      inputs: ["images"],
      outputs: ["logits"],
      weights: 901,
      operators: [
        ["Conv", 2],
        ["Relu", 1],
      ],
    });
  });

  it("says so when it is something else", () => {
    for (const text of ["<html></html>", "version https://git-lfs.github.com/spec/v1"])
      expect(() => summariseOnnx(new TextEncoder().encode(text)), text).toThrow("no ONNX model");
  });

  it("says so when the end is missing", () => {
    const rawData = new Uint8Array(3600);
    const graph = { initializer: [{ name: "w", dims: [900n], dataType: 1, rawData }] };
    const whole = toBinary(ModelProtoSchema, create(ModelProtoSchema, { graph }));
    expect(() => summariseOnnx(whole.subarray(0, 1000))).toThrow("not the whole of it");
  });
});
