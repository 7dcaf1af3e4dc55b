// Thread that decodes the images whose decoding takes JavaScript: the event loop has other things to do.
import { parentPort } from "node:worker_threads";
import { answerCalls } from "../base/call-thread.ts";
import { PipelineError } from "../base/errors.ts";
import { decodeImage } from "../data/transforms/decode-image.ts";
import type { DecodeRequest } from "../inference/image-decoder.ts";

if (parentPort === null) throw new PipelineError("INVALID_ARGUMENT", "decode-worker runs as a worker thread only");

answerCalls(
  parentPort,
  async ({ bytes, size, limits }: DecodeRequest) => (await decodeImage(bytes, size, limits)).data,
);
