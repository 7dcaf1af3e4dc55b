// Thread that parses large JSON bodies: the event loop has other things to do.
import { parentPort } from "node:worker_threads";
import { answerCalls } from "../base/call-thread.ts";
import { PipelineError } from "../base/errors.ts";
import { compactJson } from "../serving/json/compact-json.ts";

if (parentPort === null) throw new PipelineError("INVALID_ARGUMENT", "json-worker runs as a worker thread only");

answerCalls(parentPort, (body: Uint8Array) => compactJson(Buffer.from(body.buffer).toString()));
