// Thread of a training: runs it, tells its events, stops when told to.
import { parentPort, workerData } from "node:worker_threads";
import { transferError } from "../base/error-transfer.ts";
import { PipelineError } from "../base/errors.ts";
import { runTraining } from "../experiments/train.ts";
import type { TrainingRequest } from "../experiments/training-request.ts";
import type { TrainingCommand, TrainingReply } from "../experiments/worker-protocol.ts";

if (parentPort === null) throw new PipelineError("INVALID_ARGUMENT", "training-worker runs as a worker thread only");
const port = parentPort;
const controller = new AbortController();

function reply(message: TrainingReply): void {
  port.postMessage(message);
}

port.on("message", ({ type }: TrainingCommand) => {
  if (type === "abort") controller.abort();
});

runTraining(workerData as TrainingRequest, {
  signal: controller.signal,
  onEvent: (event) => reply({ type: "event", event }),
})
  .then(
    (outcome) => reply({ type: "finished", outcome }),
    (error: unknown) => reply({ type: "failed", error: transferError(error) }),
  )
  // The open port would keep the thread alive.
  .finally(() => port.close());
