import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  BigValueGraphMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
} from "@grafana/grafana-foundation-sdk/common";
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  type Panel,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableHide,
  VariableRefresh,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { PanelBuilder as GaugeBuilder } from "@grafana/grafana-foundation-sdk/gauge";
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as StatBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as TimeSeriesBuilder } from "@grafana/grafana-foundation-sdk/timeseries";
import type { DashboardDefinition, PanelDefinition } from "./panel-table.ts";

/** The datasource that provisioning/datasources makes. */
const datasource = { type: "prometheus", uid: "prometheus" };

/** A dashboard as Grafana's file provisioning wants it: the bare object. */
export function buildDashboard({ uid, title, description, rows }: DashboardDefinition): Dashboard {
  const builder = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(["cifar10"])
    .timezone("browser")
    .tooltip(DashboardCursorSync.Crosshair)
    .refresh("5s")
    .time({ from: "now-7d", to: "now" })
    .withVariable(projectUrl());
  let id = 0;
  for (const [row, panels] of Object.entries(rows)) {
    builder.withRow(new RowBuilder(row).id(++id));
    for (const panel of panels) builder.withPanel(buildPanel(panel, ++id));
  }
  return builder.build();
}

function buildPanel(panel: PanelDefinition, id: number): Builder<Panel> {
  switch (panel.type) {
    case "timeseries":
      return common(new TimeSeriesBuilder().fillOpacity(10).lineWidth(1).id(id), panel);
    case "stat":
      return common(new StatBuilder().graphMode(BigValueGraphMode.Area).id(id), panel);
    case "gauge":
      return common(new GaugeBuilder().id(id), panel);
    default:
      return panel.type satisfies never;
  }
}

function common<B extends TimeSeriesBuilder | StatBuilder | GaugeBuilder>(builder: B, panel: PanelDefinition): B {
  const { title, description, unit, queries, steps, floor, alerts = [], max, width = 8, type } = panel;
  builder
    .title(title)
    .description(description)
    .datasource(datasource)
    .unit(unit)
    .min(0)
    .span(width)
    .height(type === "timeseries" ? 8 : 5);
  if (max !== undefined) builder.max(max);
  const limits = steps !== undefined ? above(steps) : floor !== undefined ? below(floor) : undefined;
  if (limits !== undefined) builder.thresholds(limits);
  if (limits !== undefined && builder instanceof TimeSeriesBuilder) {
    builder.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  }
  builder.links(alerts.map(runbook));
  Object.entries(queries).forEach(([legend, expr], i) => {
    const query = new DataqueryBuilder()
      .datasource(datasource)
      .expr(expr)
      .legendFormat(legend)
      .refId(String.fromCharCode(65 + i));
    builder.withTarget(type === "timeseries" ? query.range() : query.instant());
  });
  return builder;
}

/** Where the project can be read, as prometheus.yml says. */
function projectUrl(): QueryVariableBuilder {
  return new QueryVariableBuilder("project_url")
    .datasource(datasource)
    .query('label_values(up{job="prometheus"}, project_url)')
    .refresh(VariableRefresh.OnDashboardLoad)
    .hide(VariableHide.HideVariable);
}

/** As the alerts' annotation has it. */
function runbook(alert: string): DashboardLinkBuilder {
  return new DashboardLinkBuilder(`Runbook: ${alert}`)
    .type(DashboardLinkType.Link)
    .url(`\${project_url:raw}docs/runbooks.md#${alert.toLowerCase()}`)
    .targetBlank(true);
}

function below(floor: number): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps([
    { value: null, color: "red" },
    { value: floor, color: "green" },
  ]);
}

function above([warning, problem]: readonly [number, number]): ThresholdsConfigBuilder {
  const steps = [{ value: null, color: "green" }, ...(warning < problem ? [{ value: warning, color: "yellow" }] : [])];
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps([...steps, { value: problem, color: "red" }]);
}
