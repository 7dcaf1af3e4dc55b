import { stringify } from "yaml";

export interface ModelFilesOptions {
  readonly createdAt: Date;
  /** Undefined while the store has not given one. */
  readonly runId: string | undefined;
  /** Channels, height, width. */
  readonly inputShape: readonly number[];
  /** One input of that shape, as an example. */
  readonly example: Float32Array;
  readonly classes: number;
  readonly metadata: Readonly<Record<string, string>>;
}

const exampleFile = "input_example.json";
const servingExampleFile = "serving_input_example.json";
const requirements = ["mlflow", "numpy", "onnx", "onnxruntime"];

/**
 * What makes a folder with model.onnx an MLflow model (flavours onnx and python_function), by file name:
 * mlflow.onnx.load_model and mlflow.pyfunc.load_model take it.
 */
export function modelFiles(options: ModelFilesOptions): Readonly<Record<string, string>> {
  const { createdAt, runId, inputShape, example, classes, metadata } = options;
  const inputs = { images: [nested(example, inputShape)] };
  const tensor = (name: string, shape: readonly number[]): string =>
    JSON.stringify([{ name, type: "tensor", "tensor-spec": { dtype: "float32", shape: [-1, ...shape] } }]);
  const model = {
    artifact_path: "model",
    flavors: {
      onnx: { onnx_version: "1.16.0", data: "model.onnx", providers: ["CPUExecutionProvider"], code: null },
      python_function: {
        loader_module: "mlflow.onnx",
        data: "model.onnx",
        env: { conda: "conda.yaml", virtualenv: "python_env.yaml" },
        python_version: "3.11.0",
      },
    },
    metadata,
    ...(runId === undefined ? {} : { run_id: runId }),
    saved_input_example_info: {
      artifact_path: exampleFile,
      type: "ndarray",
      serving_input_path: servingExampleFile,
    },
    signature: { inputs: tensor("images", inputShape), outputs: tensor("logits", [classes]), params: null },
    utc_time_created: createdAt.toISOString().replace("T", " ").replace("Z", "000"),
  };
  return {
    MLmodel: stringify(model, { lineWidth: 0 }),
    [exampleFile]: JSON.stringify(inputs),
    [servingExampleFile]: JSON.stringify({ inputs }),
    "requirements.txt": `${requirements.join("\n")}\n`,
    "conda.yaml": stringify({
      name: "mlflow-env",
      channels: ["conda-forge"],
      dependencies: ["python=3.11", "pip", { pip: requirements }],
    }),
    "python_env.yaml": stringify({
      python: "3.11",
      build_dependencies: ["pip"],
      dependencies: ["-r requirements.txt"],
    }),
  };
}

type Nested = number | readonly Nested[];

/** Values in lists of lists, as JSON has tensors; six digits are what a float32 is worth in text that people may read. */
function nested(values: Float32Array, [length, ...inner]: readonly number[]): Nested {
  if (length === undefined) return Number(values[0]!.toPrecision(6));
  const size = values.length / length;
  return Array.from({ length }, (_, i) => nested(values.subarray(i * size, (i + 1) * size), inner));
}
