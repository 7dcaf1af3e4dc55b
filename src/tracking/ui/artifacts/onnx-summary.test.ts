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
    expect(() => summariseOnnx(new TextEncoder().encode("<html></html>"))).toThrow("no ONNX model");
  });
});
