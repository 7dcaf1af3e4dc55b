import { describe, expect, test } from "vitest";
import { createOnnxExecutor } from "../../src/backends/onnx/executor.ts";
import { createReferenceExecutor } from "../../src/backends/reference/executor.ts";
import * as g from "../../src/graph/build.ts";
import { defineGraph } from "../../src/graph/graph.ts";
import { floats, tensor } from "../../src/tensor/tensor.ts";

const executors = {
  "the reference interpreter": async () => createReferenceExecutor(),
  "the ONNX executor": () => createOnnxExecutor({ threads: 1 }),
};

const x = g.input("x", "float32", [2]);
const unread = g.input("unread", "float32", [1]);
const total = g.input("total", "float32", [2]);
const kept = g.input("kept", "float32", [2]);
const graph = defineGraph({
  name: "accumulate",
  inputs: [x, unread],
  variables: { total: { current: total, next: g.add(total, x) }, kept: { current: kept, next: g.neg(x) } },
  outputs: { y: g.neg(x) },
});

const feeds = { x: floats([2], [1, 2]), unread: floats([1], [0]) };
const zero = floats([2], [0, 0]);

describe.each(Object.entries(executors))("misuse of %s", (_name, create) => {
  const compiled = async () => (await create()).compile(graph);

  test("a run with a missing, unknown or mistyped feed is refused, and the state stays", async () => {
    await using executable = await compiled();
    executable.writeState({ total: zero, kept: zero });
    for (const [wrong, code] of [
      [{ unread: feeds.unread }, "INVALID_ARGUMENT"],
      [{ x: feeds.x }, "INVALID_ARGUMENT"],
      [{ ...feeds, z: floats([], [1]) }, "INVALID_ARGUMENT"],
      [{ ...feeds, total: zero }, "INVALID_ARGUMENT"],
      [{ ...feeds, x: floats([1], [1]) }, "SHAPE_MISMATCH"],
      [{ ...feeds, unread: floats([2], [1, 1]) }, "SHAPE_MISMATCH"],
      [{ ...feeds, x: tensor("int32", [2], Int32Array.of(1, 2)) }, "SHAPE_MISMATCH"],
    ] as const) {
      await expect(executable.run(wrong)).rejects.toMatchObject({ code });
    }
    expect(Array.from(executable.readState(["total"]).total!.data)).toEqual([0, 0]);
    await executable.run(feeds);
    expect(Array.from(executable.readState(["total"]).total!.data)).toEqual([1, 2]);
  });

  test("a variable that a run reads must have been written; one that it only writes need not", async () => {
    await using executable = await compiled();
    for (const names of [undefined, ["total"], ["kept"]]) {
      expect(() => executable.readState(names)).toThrow(expect.objectContaining({ code: "STATE_MISMATCH" }));
    }
    await expect(executable.run(feeds)).rejects.toMatchObject({
      code: "STATE_MISMATCH",
      message: expect.stringContaining("variable total, float32[2], was never written"),
    });
    executable.writeState({ total: zero });
    await executable.run(feeds);
    expect(Array.from(executable.readState().kept!.data)).toEqual([-1, -2]);
  });

  test("state of another name, type or shape is refused whole", async () => {
    await using executable = await compiled();
    executable.writeState({ total: zero });
    const one = floats([2], [1, 1]);
    for (const wrong of [
      { total: one, none: zero },
      { total: one, kept: floats([1, 2], [0, 0]) },
      { total: one, kept: tensor("int32", [2], Int32Array.of(1, 2)) },
    ]) {
      expect(() => executable.writeState(wrong)).toThrow(expect.objectContaining({ code: "STATE_MISMATCH" }));
      expect(Array.from(executable.readState(["total"]).total!.data)).toEqual([0, 0]);
    }
    expect(() => executable.readState(["none"])).toThrow(expect.objectContaining({ code: "STATE_MISMATCH" }));
  });
});
