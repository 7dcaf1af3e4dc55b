import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { ModelProtoSchema } from "../../src/backends/onnx/proto/onnx_pb.ts";
import { readBundle } from "../../src/inference/bundle.ts";
import { floatData, floats } from "../../src/tensor/tensor.ts";
import { cifar } from "../cli/in-process.ts";

let folder: string;
let file: string;
const names = "ant,bee,cat,dog,eel";

/** The images of the goldens. */
const images = floats(
  [2, 3, 12, 12],
  Float32Array.from({ length: 2 * 3 * 144 }, (_, i) => Math.sin(i * i * 0.37)),
);

interface Golden {
  readonly name: string;
  readonly file: string;
  readonly scores: readonly number[];
}

async function golden(wanted: string): Promise<Golden> {
  const text = await readFile(new URL("../goldens/onnx-models.json", import.meta.url), "utf8");
  const { cases } = JSON.parse(text) as { readonly cases: readonly Golden[] };
  return cases.find(({ name }) => name === wanted)!;
}

const fileOf = async (name: string): Promise<Buffer> => Buffer.from((await golden(name)).file, "base64");

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "import-"));
  file = join(folder, "plain.onnx");
  await writeFile(file, await fileOf("plain"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const set = (): string[] => ["--set", `training.checkpoint_dir=${join(folder, "checkpoints")}`];
const statistics = ["--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.25"];
const importing = (name: string, path = file): string[] => ["import", path, "--name", name, ...set(), "--json"];

describe("cifar import", () => {
  it("makes a bundle that answers as the file does", async () => {
    const made = await cifar(...importing("plain"), "--classes", names, ...statistics);
    expect(made.err).toBe("");
    const report = JSON.parse(made.out) as Record<string, unknown>;
    expect(report).toMatchObject({ classes: 5, input: "pixels", output: "scores", height: 12, width: 12 });
    expect(report.difference).toBeLessThan(1e-4);
    const { metadata, modelPath } = await readBundle(report.directory as string);
    expect(metadata.preprocessing).toMatchObject({ mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.25] });
    await using model = await loadInferenceModel(modelPath);
    expect(model.inputs).toEqual([{ name: "images", dtype: "float32", shape: [-1, 3, 12, 12] }]);
    const { logits } = await model.run({ images });
    const found = floatData(logits!);
    for (const [i, score] of (await golden("plain")).scores.entries()) expect(found[i]).toBeCloseTo(score, 5);
  });

  it("takes a file of class names and tells of a softmax that is left out", async () => {
    const path = join(folder, "shapes.onnx");
    await writeFile(path, await fileOf("shapes"));
    const classes = join(folder, "classes.txt");
    await writeFile(classes, `${names.replaceAll(",", "\n")}\n`);
    const made = await cifar(...importing("shapes", path), "--classes", classes, ...statistics);
    expect(JSON.parse(made.out)).toMatchObject({ softmax_left_out: true, classes: 5 });
  });

  it("takes a file of one image for any batch", async () => {
    const path = join(folder, "fixed.onnx");
    await writeFile(path, await fileOf("residual_fixed_batch"));
    const made = await cifar(...importing("fixed", path), "--classes", names, ...statistics);
    expect(JSON.parse(made.out)).toMatchObject({ classes: 5 });
  });

  it.each([["--mean"], ["--std"], ["--classes"]])("guesses no %s", async (missing) => {
    const given = [["--classes", names], statistics.slice(0, 2), statistics.slice(2)];
    const { code, err } = await cifar(...importing("guess"), ...given.filter(([flag]) => flag !== missing).flat());
    expect(code).toBe(2);
    expect(err).toContain(missing);
  });

  it("refuses another number of classes than the model's", async () => {
    const { code, err } = await cifar(...importing("few"), "--classes", "ant,bee", ...statistics);
    expect(code).not.toBe(0);
    expect(err).toContain("2 class names for 5 classes");
  });

  it("names the class names that stand twice", async () => {
    const { code, err } = await cifar(...importing("twice"), "--classes", "ant,bee,crane,ant,crane", ...statistics);
    expect(code).not.toBe(0);
    expect(err).toContain('several classes have the same name: "ant", "crane"');
  });

  it("refuses what onnxruntime does not run", async () => {
    const model = fromBinary(ModelProtoSchema, await fileOf("plain"));
    model.irVersion = 999n;
    const path = join(folder, "future.onnx");
    await writeFile(path, toBinary(ModelProtoSchema, model));
    const { code, err } = await cifar(...importing("future", path), "--classes", names, ...statistics);
    expect(code).toBe(1);
    expect(err).toContain("cannot load the ONNX model");
  });
});
