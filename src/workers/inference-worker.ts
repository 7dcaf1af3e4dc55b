// Worker thread of the predictor: loads the forms of one network and answers jobs one after the other.
import { parentPort, workerData } from "node:worker_threads";
import { loadForm } from "../backends/onnx/load-form.ts";
import { PipelineError } from "../base/errors.ts";
import { type FormRunner, formRunner } from "../inference/forms/form-runner.ts";
import type { InferenceJob, InferenceReply, InferenceWorkerData } from "../inference/worker-protocol.ts";
import { tensor } from "../tensor/tensor.ts";

if (parentPort === null) throw new PipelineError("INVALID_ARGUMENT", "inference-worker runs as a worker thread only");
const port = parentPort;
const data = workerData as InferenceWorkerData;
const { height, width } = data.preprocessing;

function reply(message: InferenceReply, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

function run(runners: readonly FormRunner[], count: number, images: Uint8Array): Promise<Float32Array<ArrayBuffer>> {
  const runner = runners[data.plan.byCount[count - 1] ?? 0]!;
  return runner.run(tensor("uint8", [count, 3, height, width], images));
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

async function start(): Promise<void> {
  const runners: FormRunner[] = [];
  for (const variant of data.plan.variants) {
    runners.push(formRunner(await loadForm(variant, data.files, { threads: data.threads }), variant, data));
  }
  // Once each, and what the first requests will bring; where a batch takes several runs, one of them.
  const firstUses = data.plan.variants.map((_, i) => data.plan.byCount.indexOf(i) + 1);
  const sizes = [...data.warmUpBatchSizes, ...firstUses].map((count) => {
    const { size = count } = data.plan.variants[data.plan.byCount[count - 1] ?? 0]!;
    return Math.min(count, size);
  });
  for (const count of new Set(sizes.filter((size) => size > 0))) {
    const logits = await run(runners, count, new Uint8Array(count * 3 * height * width));
    if (!logits.every(Number.isFinite)) {
      throw new PipelineError("INFERENCE_FAILED", "the model gives logits that are not finite on a black image");
    }
  }
  port.on("message", (job: InferenceJob) => {
    run(runners, job.count, job.images).then(
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
