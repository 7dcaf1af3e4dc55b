import { useState } from "preact/hooks";
import { Toggle } from "../fields.tsx";
import { type ChosenKeys, type Column, type KeyUse, withKey } from "./columns.ts";
import { fieldName } from "./filter-completion.ts";
import { firstColumns } from "./table-settings.ts";

interface ColumnChooserProps {
  readonly chosen: ChosenKeys;
  readonly columns: readonly Column[];
  readonly metrics: ReadonlyMap<string, KeyUse>;
  readonly params: ReadonlyMap<string, KeyUse>;
  onChange(chosen: ChosenKeys): void;
}

/** A menu of all metrics and params, in which those of the table are marked. */
export function ColumnChooser(props: ColumnChooserProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="menu" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary class="button">Columns</summary>
      {isOpen ? <Choices {...props} /> : null}
    </details>
  );
}

function Choices({ chosen, columns, metrics, params, onChange }: ColumnChooserProps) {
  const ids = new Set(columns.map(({ id }) => id));
  const boxes = (part: keyof ChosenKeys, keys: Iterable<string>) =>
    [...keys]
      .sort()
      .map((key) => (
        <Toggle
          key={key}
          label={key}
          checked={ids.has(fieldName(part, key))}
          onChange={(on) => onChange(withKey(chosen, columns, { part, key, on }))}
        />
      ));
  return (
    <div>
      <button type="button" onClick={() => onChange(firstColumns)}>
        Default columns
      </button>
      <h2>Metrics</h2>
      {boxes("metrics", metrics.keys())}
      <h2>Params</h2>
      {boxes("params", params.keys())}
    </div>
  );
}
