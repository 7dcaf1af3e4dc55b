// Worker thread of the predictor: loads one inference model and answers jobs one after the other.
import { parentPort, workerData } from "node:worker_threads";
import { loadInferenceModel } from "../backends/onnx/inference-model.ts";
import { PipelineError } from "../base/errors.ts";
import type { InferenceModel } from "../graph/executor.ts";
import { normalise } from "../inference/preprocess.ts";
import type { InferenceJob, InferenceReply, InferenceWorkerData } from "../inference/worker-protocol.ts";
import { floatData, tensor } from "../tensor/tensor.ts";

if (parentPort === null) throw new PipelineError("INVALID_ARGUMENT", "inference-worker runs as a worker thread only");
const port = parentPort;
const data = workerData as InferenceWorkerData;
const { height, width } = data.preprocessing;

function reply(message: InferenceReply, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

async function run(model: InferenceModel, count: number, images: Uint8Array): Promise<Float32Array<ArrayBuffer>> {
  const batch = normalise(tensor("uint8", [count, 3, height, width], images), data.preprocessing);
  const { logits } = await model.run({ images: batch });
  if (logits === undefined || logits.shape.length !== 2 || logits.shape[1] !== data.classCount) {
    throw new PipelineError(
      "SHAPE_MISMATCH",
      `the model gave logits [${logits?.shape ?? "none"}], expected [${count}, ${data.classCount}]`,
      { remedy: "model.onnx and metadata.json do not belong together: restore the bundle" },
    );
  }
  // Own memory, so that it can be moved to the main thread.
  return Float32Array.from(floatData(logits));
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

async function start(): Promise<void> {
  const model = await loadInferenceModel(data.modelPath, { threads: data.threads });
  for (const count of data.warmUpBatchSizes) {
    const logits = await run(model, count, new Uint8Array(count * 3 * height * width));
    if (!logits.every(Number.isFinite)) {
      throw new PipelineError("INFERENCE_FAILED", "the model gives logits that are not finite on a black image");
    }
  }
  port.on("message", (job: InferenceJob) => {
    run(model, job.count, job.images).then(
      (logits) => reply({ type: "result", id: job.id, logits }, [logits.buffer]),
      (error: unknown) => {
        const stack = error instanceof Error ? error.stack : undefined;
        reply({ type: "failed", id: job.id, message: messageOf(error), stack });
      },
    );
  });
  reply({ type: "ready" });
}

start().catch((error: unknown) => reply({ type: "unusable", message: messageOf(error) }));
