import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { buildDashboard } from "../../monitoring/grafana/source/dashboard.ts";
import { dashboards } from "../../monitoring/grafana/source/panel-table.ts";
import { renderMetricReference } from "../../src/observability/metric-reference.ts";
import { metricTable } from "../../src/observability/metric-table.ts";

const root = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const folder = root("monitoring/grafana/dashboards");
const fileOf = (uid: string): string => `${uid.replace(/^cifar-/, "")}.json`;
const textOf = (definition: (typeof dashboards)[number]): string =>
  `${JSON.stringify(buildDashboard(definition), null, 2)}\n`;

// UPDATE_DASHBOARDS=1 npx vitest run tests/observability/dashboards.test.ts writes them.
if (process.env.UPDATE_DASHBOARDS === "1") {
  mkdirSync(folder, { recursive: true });
  for (const definition of dashboards) writeFileSync(`${folder}/${fileOf(definition.uid)}`, textOf(definition));
}

const panels = dashboards.flatMap(({ rows }) => Object.values(rows).flat());
const expressions = panels.flatMap(({ queries }) => Object.values(queries));

describe("Grafana dashboards", () => {
  it.each(dashboards.map((definition) => [definition.title, definition] as const))(
    "%s is as its source says",
    (_, definition) => {
      expect(readFileSync(`${folder}/${fileOf(definition.uid)}`, "utf8")).toBe(textOf(definition));
    },
  );

  it("that no source has any more are gone, and those that somebody has added are Grafana's own exports", () => {
    const uids = dashboards.map(({ uid }): string => uid);
    for (const file of readdirSync(folder)) {
      const dashboard = JSON.parse(readFileSync(`${folder}/${file}`, "utf8"));
      expect(dashboard, file).toMatchObject({ title: expect.any(String), panels: expect.any(Array) });
      if (String(dashboard.uid).startsWith("cifar-")) expect(uids).toContain(dashboard.uid);
    }
  });

  it("refresh every 5 s, show 7 days, have ids, and panels with data, a text and a place", () => {
    for (const { uid } of dashboards) {
      const dashboard = JSON.parse(readFileSync(`${folder}/${fileOf(uid)}`, "utf8"));
      expect(dashboard).toMatchObject({ uid, refresh: "5s", time: { from: "now-7d", to: "now" } });
      const shown = dashboard.panels.filter((panel: { type: string }) => panel.type !== "row");
      const ids = new Set(dashboard.panels.map(({ id }: { id: number }) => id));
      expect(ids.size).toBe(dashboard.panels.length);
      for (const panel of shown) {
        expect(panel.datasource).toEqual({ type: "prometheus", uid: "prometheus" });
        expect(panel.targets.length, panel.title).toBeGreaterThan(0);
        expect(panel.description, panel.title).toMatch(/\S/);
        expect(panel.gridPos.x + panel.gridPos.w, panel.title).toBeLessThanOrEqual(24);
      }
    }
  });

  it("link the runbooks of what they show, and show what every alert looks at", () => {
    const rules = parse(readFileSync(root("monitoring/prometheus/alert_rules.yml"), "utf8")) as {
      groups: { rules: { alert: string }[] }[];
    };
    const alerts = rules.groups.flatMap((group) => group.rules.map(({ alert }) => alert));
    expect([...new Set(panels.flatMap((panel) => panel.alerts ?? []))].sort()).toEqual(alerts.sort());
    const headings = readFileSync(root("docs/runbooks.md"), "utf8").matchAll(/^## (\w+)$/gm);
    const anchors = [...headings].map(([, heading]) => heading!.toLowerCase());
    for (const definition of dashboards) {
      const { panels: built = [], templating } = buildDashboard(definition);
      expect(templating?.list?.map(({ name }) => name)).toEqual(["project_url"]);
      for (const { url } of built.flatMap((panel) => ("links" in panel ? (panel.links ?? []) : [])))
        expect(anchors).toContain(/^\$\{project_url:raw\}docs\/runbooks\.md#(\w+)$/.exec(url!)?.[1]);
    }
  });

  it("show every metric of the table", () => {
    const shown = expressions.join("\n");
    for (const name of Object.keys(metricTable))
      expect(shown, name).toMatch(new RegExp(`\\b${name}(_bucket|_sum)?\\b`));
  });

  it("sum no gauge over several instances, nor do the rules", () => {
    const rules = ["alert_rules.yml", "recording_rules.yml"].map((file) =>
      readFileSync(root(`monitoring/prometheus/${file}`), "utf8"),
    );
    const all = [...expressions, ...rules].join("\n");
    const summed = [...all.matchAll(/\bsum(?:\s+(?:by|without)\s*\([^)]*\))?\s*\(\s*([a-z]\w+)/g)].map(
      ([, name]) => name!,
    );
    expect(summed).toContain("rate");
    const types: Partial<Record<string, { readonly type: string }>> = metricTable;
    expect(summed.filter((name) => types[name]?.type === "gauge")).toEqual([]);
  });

  it("find the datasource that provisioning makes", () => {
    const { datasources } = parse(
      readFileSync(root("monitoring/grafana/provisioning/datasources/prometheus.yml"), "utf8"),
    );
    expect(datasources.map(({ uid }: { uid: string }) => uid)).toContain("prometheus");
  });
});

describe("docs/metrics.md", () => {
  it("follows the table (node scripts/build.mjs && node scripts/generate-docs.mjs)", () => {
    expect(readFileSync(root("docs/metrics.md"), "utf8")).toBe(renderMetricReference());
  });
});
