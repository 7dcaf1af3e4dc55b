// Thread that keeps a process in touch with the others of a training while its training thread computes.
import { parentPort, workerData } from "node:worker_threads";
import { PipelineError } from "../base/errors.ts";
import { plainError, startCommunicatorHost } from "../distributed/communicator-host.ts";
import type { CommunicatorReply, CommunicatorRequest, JoinOptions } from "../distributed/communicator-protocol.ts";

if (parentPort === null) {
  throw new PipelineError("INVALID_ARGUMENT", "communicator-worker runs as a worker thread only");
}
const port = parentPort;
const reply = (message: CommunicatorReply): void => port.postMessage(message);

startCommunicatorHost(workerData as JoinOptions, reply).then(
  (host) => port.on("message", (request: CommunicatorRequest) => host.handle(request)),
  (error: unknown) => {
    reply({ type: "unwelcome", error: plainError(error) });
    port.close();
  },
);
