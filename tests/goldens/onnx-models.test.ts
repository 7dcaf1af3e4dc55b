import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { readModel } from "../../src/backends/onnx/read-model.ts";
import { softmax } from "../../src/inference/softmax.ts";
import { floatData, floats } from "../../src/tensor/tensor.ts";

interface Golden {
  readonly cases: readonly { readonly name: string; readonly file: string; readonly scores: readonly number[] }[];
}

const golden = JSON.parse(readFileSync(new URL("./onnx-models.json", import.meta.url), "utf8")) as Golden;
const images = floats(
  [2, 3, 12, 12],
  Float32Array.from({ length: 2 * 3 * 144 }, (_, i) => Math.sin(i * i * 0.37)),
);

describe("files of PyTorch's exporter", () => {
  it.each(golden.cases)("$name computes what PyTorch does", async ({ name, file, scores }) => {
    const read = readModel(Buffer.from(file, "base64"), { batch: 3 });
    expect(read).toMatchObject({ classes: 5, height: 12, width: 12, outputName: "scores" });
    expect(read.input.name).toBe("pixels");
    expect(read.ending).toBe(name.startsWith("shapes") ? "softmax" : "logits");
    await using model = await loadInferenceModel(await exportInferenceModel(read.graph, read.weights));
    const logits = floatData((await model.run({ images })).logits!);
    const found =
      read.ending === "logits"
        ? [...logits]
        : [logits.slice(0, 5), logits.slice(5)].flatMap((row) => [...softmax(row)]);
    const largest = Math.max(...scores.map(Math.abs));
    for (const [i, score] of scores.entries()) expect(Math.abs(found[i]! - score) / largest).toBeLessThan(1e-5);
  });
});
