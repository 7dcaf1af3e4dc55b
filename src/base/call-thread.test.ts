import { describe, expect, it } from "vitest";
import { CallThread } from "./call-thread.ts";

// The thread that parses JSON stands for all: "[" ends in an error of its own, a body that is no bytes at all too.
const threadOf = () =>
  new CallThread<unknown, unknown>({
    entry: "workers/json-worker",
    failure: (cause) => new Error("it died", { cause }),
  });
const bytes = (text: string) => new Uint8Array(Buffer.from(text));

describe("CallThread", () => {
  it("answers many calls at once, each with its own result or error", async () => {
    using thread = threadOf();
    const outcomes = await Promise.allSettled(["[1]", "[", "{}"].map((text) => thread.call(bytes(text))));
    expect(outcomes).toEqual([
      { status: "fulfilled", value: [1] },
      { status: "rejected", reason: expect.objectContaining({ code: "REQUEST_INVALID" }) },
      { status: "fulfilled", value: {} },
    ]);
  });

  it("answers the calls in hand when it is closed", async () => {
    const thread = threadOf();
    const calls = [thread.call(bytes("[1]")), thread.call(bytes("[2]"))];
    thread[Symbol.dispose]();
    expect(await Promise.all(calls)).toEqual([[1], [2]]);
  });

  it("fails the calls in hand when the thread dies, and starts another", async () => {
    using thread = threadOf();
    using missing = new CallThread<unknown, unknown>({
      entry: "workers/there-is-none",
      failure: (cause) => new Error("it died", { cause }),
    });
    await expect(Promise.all([missing.call(1), missing.call(2)])).rejects.toThrow("it died");
    await expect(missing.call(3)).rejects.toThrow("it died");
    expect(await thread.call(bytes("[3]"))).toEqual([3]);
  });
});
