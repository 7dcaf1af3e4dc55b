import type { ComponentChildren } from "preact";
import { Select, Toggle } from "../fields.tsx";
import { ColumnChooser } from "./column-chooser.tsx";
import { type Column, type KeyUse, type ValueKind, valueKinds } from "./columns.ts";
import type { TableSettings } from "./table-settings.ts";

interface TableToolsProps {
  readonly settings: TableSettings;
  readonly columns: readonly Column[];
  readonly metrics: ReadonlyMap<string, KeyUse>;
  readonly params: ReadonlyMap<string, KeyUse>;
  readonly live: boolean;
  readonly children: ComponentChildren;
  onLive(live: boolean): void;
  onChange(part: Partial<TableSettings>): void;
}

/** What the table shows. */
export function TableTools({ settings, columns, metrics, params, live, children, onLive, onChange }: TableToolsProps) {
  const groups = [...params]
    .filter(([, { differs }]) => differs)
    .map(([key]) => key)
    .sort();
  return (
    <div class="bar">
      <Select
        label="Metric values"
        value={settings.values}
        options={Object.entries(valueKinds) as [ValueKind, string][]}
        onChange={(values) => onChange({ values })}
      />
      {settings.values === "step" ? (
        <label class="field">
          Step
          <input
            type="number"
            min="0"
            value={settings.step}
            onInput={(event) => onChange({ step: Math.max(0, Math.trunc(event.currentTarget.valueAsNumber) || 0) })}
          />
        </label>
      ) : null}
      <Select
        label="Group by"
        value={settings.group}
        options={[["", "nothing"], ...groups.map((key) => [key, key] as const)]}
        onChange={(group) => onChange({ group })}
      />
      <Toggle
        label="Only what differs"
        id="only-different"
        checked={settings.onlyDifferent}
        onChange={(onlyDifferent) => onChange({ onlyDifferent })}
      />
      <Toggle label="Live" checked={live} onChange={onLive} />
      <ColumnChooser
        chosen={settings.columns}
        columns={columns}
        metrics={metrics}
        params={params}
        onChange={(next) => onChange({ columns: next })}
      />
      {children}
    </div>
  );
}
