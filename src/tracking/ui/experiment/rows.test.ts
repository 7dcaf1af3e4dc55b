import { describe, expect, it } from "vitest";
import type { Run } from "../runs/run.ts";
import { columnsOf, keysOf, lastValues } from "./columns.ts";
import { rowsOf, sortRuns } from "./rows.ts";

function runOf(id: string, metrics: Run["metrics"], params: Run["params"]): Run {
  return {
    ...{ id, name: id, status: "FINISHED", start: 0, end: 1, experiment: "1", user: "" },
    ...{ metrics, params, tags: {}, datasets: [] },
  };
}

const runs = [
  runOf("a", { loss: 2, "system/cpu": 1 }, { optimizer: "sgd", seed: "1" }),
  runOf("b", {}, { optimizer: "adamw", seed: "1" }),
  runOf("c", { loss: Number.NaN }, { optimizer: "sgd", seed: "1" }),
  runOf("d", { loss: 1 }, { seed: "1" }),
];
const columns = columnsOf({
  runs,
  metrics: keysOf(runs, "metrics"),
  params: keysOf(runs, "params"),
  chosen: { metrics: undefined, params: undefined },
  onlyDifferent: true,
  values: lastValues,
});

describe("columnsOf", () => {
  it("shows what differs and leaves the machine's metrics out", () => {
    expect(columns.map(({ title }) => title)).toEqual(["Run", "Status", "Started", "Duration", "loss", "optimizer"]);
  });
});

describe("sortRuns", () => {
  it("puts runs without a number last either way", () => {
    const loss = columns.find(({ title }) => title === "loss")!;
    const ids = (descending: boolean) => sortRuns(runs, loss, { id: loss.id, descending }).map(({ id }) => id);
    expect(ids(false)).toEqual(["d", "a", "b", "c"]);
    expect(ids(true)).toEqual(["a", "d", "b", "c"]);
  });
});

describe("rowsOf", () => {
  it("groups by a param and tells the mean of what has one", () => {
    const rows = rowsOf(runs, "optimizer", columns);
    expect(rows.map((row) => (row.kind === "run" ? row.run.id : row.title))).toEqual([
      "optimizer = sgd (2 runs, mean loss 2)",
      ...["a", "c"],
      "optimizer = adamw (1 runs)",
      "b",
      "optimizer = – (1 runs, mean loss 1)",
      "d",
    ]);
    expect(rowsOf(runs, "", columns)).toHaveLength(4);
  });
});
