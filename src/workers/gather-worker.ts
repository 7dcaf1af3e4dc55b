// Thread of the loader: copies the images of a batch out of shared memory and hands them over.
import { parentPort, workerData } from "node:worker_threads";
import { PipelineError } from "../base/errors.ts";
import { gatherImages } from "../data/batch.ts";
import type { GatherJob, GatherReply, GatherWorkerData } from "../data/gather-pool.ts";

if (parentPort === null) throw new PipelineError("INVALID_ARGUMENT", "gather-worker runs as a worker thread only");
const port = parentPort;
const { split } = workerData as GatherWorkerData;

port.on("message", ({ ticket, indices }: GatherJob) => {
  const reply: GatherReply = { ticket, images: gatherImages(split, indices) };
  port.postMessage(reply, [reply.images.buffer]);
});
