import { describe, expect, it } from "vitest";
import type { ByteStream } from "./byte-stream.ts";
import { receiveJson, sendJson } from "./frames.ts";

/** What is written comes back. */
function loop(): ByteStream {
  let held = new Uint8Array(0);
  const stream: Pick<ByteStream, "write" | "read" | "destroy"> = {
    write(bytes) {
      held = Uint8Array.of(...held, ...bytes);
    },
    async read(into) {
      into.set(held.subarray(0, into.length));
      held = held.slice(into.length);
    },
    destroy: () => undefined,
  };
  return stream as ByteStream;
}

describe("JSON between processes", () => {
  it("tells of numbers that are none", async () => {
    const stream = loop();
    const message = { loss: Number.NaN, bounds: [Number.NEGATIVE_INFINITY, 1, Number.POSITIVE_INFINITY], none: null };
    sendJson(stream, message);
    expect(await receiveJson(stream, 1000)).toEqual(message);
  });
});
