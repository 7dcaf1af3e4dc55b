import { describe, expect, it } from "vitest";
import { createLogger } from "./logger.ts";

function capture() {
  const lines: Record<string, unknown>[] = [];
  return { lines, stream: { write: (line: string) => void lines.push(JSON.parse(line)) } };
}

describe("createLogger", () => {
  it("writes one JSON object a line with level name, ISO time and service", () => {
    const { lines, stream } = capture();
    createLogger({ stream }).info({ key: 1 }, "hello");
    expect(lines).toEqual([expect.objectContaining({ level: "info", service: "cifar10-api", key: 1, msg: "hello" })]);
    expect(new Date(String(lines[0]!.time)).toISOString()).toBe(lines[0]!.time);
  });

  it("redacts secrets and writes errors with their stack", () => {
    const { lines, stream } = capture();
    const logger = createLogger({ stream });
    logger.error({ headers: { authorization: "Bearer x", "x-api-key": "k", accept: "a" }, err: new Error("bad") });
    expect(lines[0]).toMatchObject({
      headers: { authorization: "[redacted]", "x-api-key": "[redacted]", accept: "a" },
      err: { message: "bad", stack: expect.stringContaining("logger.test") },
    });
  });

  it("stays below its level", () => {
    const { lines, stream } = capture();
    createLogger({ stream, level: "warn" }).info("quiet");
    expect(lines).toEqual([]);
  });
});
