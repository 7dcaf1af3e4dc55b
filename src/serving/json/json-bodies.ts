import type { FastifyInstance } from "fastify";
import { CallThread } from "../../base/call-thread.ts";
import { PipelineError } from "../../base/errors.ts";

/** Larger bodies have a thread of their own: parsing this much takes some milliseconds. */
const mostBytesHere = 128 * 1024;

/** Parses JSON bodies, large ones off the event loop: there arrays of pixels come as PackedBytes. */
export function parseJsonBodies(app: FastifyInstance): void {
  const thread = new CallThread<Uint8Array<ArrayBuffer>, unknown>({
    entry: "workers/json-worker",
    failure: (cause) => new PipelineError("INTERNAL_ERROR", "the thread that parses JSON ended", { cause }),
  });
  app.addHook("onClose", async () => thread[Symbol.dispose]());
  const parseSmall = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body: Buffer, done) => {
    if (body.length <= mostBytesHere) return parseSmall(request, body.toString(), done);
    // So large a buffer has its memory to itself, unless the framework changes how it collects a body.
    const { buffer, byteLength } = body;
    const own =
      buffer instanceof ArrayBuffer && buffer.byteLength === byteLength ? new Uint8Array(buffer) : new Uint8Array(body);
    thread.call(own, [own.buffer]).then((value) => done(null, value), done);
  });
}
