import { describe, expect, it } from "vitest";
import type { Run } from "../runs/run.ts";
import { columnsOf, keysOf, lastValues, withKey } from "./columns.ts";
import { firstColumns } from "./table-settings.ts";

describe("withKey", () => {
  const run: Run = {
    ...{ id: "a", name: "a", status: "FINISHED", start: 0, end: 1, experiment: "1", user: "" },
    ...{ metrics: { loss: 1, "val/acc": 2 }, params: { lr: "1" }, tags: {}, datasets: [] },
  };
  const runs = [run];
  const common = { runs, metrics: keysOf(runs, "metrics"), params: keysOf(runs, "params") };
  const columns = (chosen = firstColumns) => columnsOf({ ...common, chosen, onlyDifferent: true, values: lastValues });

  it("begins with the columns of a first look", () => {
    expect(withKey(firstColumns, columns(), { part: "metrics", key: "loss", on: false })).toEqual({
      metrics: ["val/acc"],
      params: ["lr"],
    });
  });
  it("keeps chosen keys that the runs in sight lack", () => {
    const chosen = { metrics: ["loss", "other"], params: ["gone"] };
    expect(withKey(chosen, columns(chosen), { part: "params", key: "lr", on: true })).toEqual({
      metrics: ["loss", "other"],
      params: ["gone", "lr"],
    });
  });
});
