import { PipelineError } from "../../base/errors.ts";
import type { InferenceModel, InferenceModelOptions, TensorSpec } from "../../graph/executor.ts";
import { ort } from "./onnxruntime.ts";
import { fromOrt, toDType, toOrt } from "./ort-tensor.ts";

/**
 * Loads an ONNX inference model from a file or from its bytes, fully optimised by onnxruntime.
 * @throws INVALID_ARGUMENT when the file is missing or is no valid model.
 */
export async function loadInferenceModel(
  source: string | Uint8Array,
  { threads = 1 }: InferenceModelOptions = {},
): Promise<InferenceModel> {
  const options: ort.InferenceSession.SessionOptions = {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    // Spinning threads would take a core from the rest of the server between requests.
    extra: { session: { intra_op: { allow_spinning: "0" } } },
    logSeverityLevel: 3,
  };
  let session: ort.InferenceSession;
  try {
    session = await (typeof source === "string"
      ? ort.InferenceSession.create(source, options)
      : ort.InferenceSession.create(source, options));
  } catch (cause) {
    const what = typeof source === "string" ? source : `${source.length} bytes`;
    throw new PipelineError("INVALID_ARGUMENT", `cannot load the ONNX model from ${what}`, {
      remedy: "check that the file exists and is an undamaged ONNX model",
      cause,
    });
  }
  return {
    inputs: session.inputMetadata.map(specOf),
    outputs: session.outputMetadata.map(specOf),
    async run(feeds) {
      const converted = Object.fromEntries(Object.entries(feeds).map(([name, value]) => [name, toOrt(value)]));
      const results = await session.run(converted);
      return Object.fromEntries(Object.entries(results).map(([name, value]) => [name, fromOrt(value)]));
    },
    async [Symbol.asyncDispose]() {
      await session.release();
    },
  };
}

function specOf(metadata: ort.InferenceSession.ValueMetadata): TensorSpec {
  if (!metadata.isTensor) throw new PipelineError("INVALID_ARGUMENT", `model value ${metadata.name} is no tensor`);
  return {
    name: metadata.name,
    dtype: toDType(metadata.type),
    shape: metadata.shape.map((dim) => (typeof dim === "number" ? dim : -1)),
  };
}
