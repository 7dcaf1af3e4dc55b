import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createExposition } from "./exposition.ts";
import { createInstruments } from "./instruments.ts";
import { metricTable } from "./metric-table.ts";

describe("createInstruments", () => {
  it("needs one row for a further metric, as docs/monitoring.md says", async () => {
    const exposition = createExposition();
    const row = {
      type: "counter",
      unit: "events",
      help: "Custom events",
      labels: ["kind"],
      initialValues: ["ok"],
    } as const;
    const instruments = createInstruments(exposition.registry, { ...metricTable, custom_events_total: row });
    const before = (await exposition.render(undefined)).text;
    expect(before).toContain("# HELP custom_events_total Custom events\n# TYPE custom_events_total counter\n");
    expect(before).toContain('custom_events_total{kind="ok"} 0\n');
    instruments.custom_events_total.inc({ kind: "ok" });
    expect((await exposition.render(undefined)).text).toContain('custom_events_total{kind="ok"} 1\n');
    const docs = readFileSync(new URL("../../docs/monitoring.md", import.meta.url), "utf8");
    const fields = Object.entries(row).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
    expect(docs).toContain(`custom_events_total: { ${fields.join(", ")} },`);
    expect(docs).toContain('instruments.custom_events_total.inc({ kind: "ok" });');
  });
});
