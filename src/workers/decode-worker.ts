// Thread that decodes the images whose decoding takes JavaScript: the event loop has other things to do.
import { parentPort } from "node:worker_threads";
import { transferError } from "../base/error-transfer.ts";
import { PipelineError } from "../base/errors.ts";
import { decodeImage } from "../data/transforms/decode-image.ts";
import type { DecodeCommand, DecodeReply } from "../inference/worker-protocol.ts";

if (parentPort === null) throw new PipelineError("INVALID_ARGUMENT", "decode-worker runs as a worker thread only");
const port = parentPort;

port.on("message", async (command: DecodeCommand) => {
  // The thread ends by itself then.
  if (command.type === "close") return port.close();
  const { id, bytes, size, limits } = command;
  let reply: DecodeReply;
  try {
    const { data } = await decodeImage(bytes, size, limits);
    reply = { id, data };
  } catch (error) {
    reply = { id, error: transferError(error) };
  }
  port.postMessage(reply);
});
