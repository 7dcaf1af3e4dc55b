import type { ComponentChildren } from "preact";

interface SelectProps<T extends string> {
  readonly label: string;
  readonly value: T;
  /** Values and what stands for them. */
  readonly options: readonly (readonly [T, string])[];
  onChange(value: T): void;
}

/** A labelled choice. */
export function Select<T extends string>({ label, value, options, onChange }: SelectProps<T>) {
  return (
    <label class="field">
      {label}
      <select value={value} onChange={(event) => onChange(event.currentTarget.value as T)}>
        {options.map(([key, text]) => (
          <option key={key} value={key} selected={key === value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

interface ToggleProps {
  readonly label: string;
  readonly checked: boolean;
  readonly id?: string;
  onChange(checked: boolean): void;
}

/** A labelled switch. */
export function Toggle({ label, checked, id, onChange }: ToggleProps) {
  return (
    <label class="switch">
      <input type="checkbox" id={id} checked={checked} onChange={(event) => onChange(event.currentTarget.checked)} />
      {label}
    </label>
  );
}

/** Says in place of a table what to do to fill it. */
export function Empty({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** A place for what is wider than the page, to be moved sideways. */
export function Scroller({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what is scrolled has to be reached by keyboard
    <section class="scroll" aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}

interface TableProps {
  readonly heads: readonly string[];
  readonly rows: readonly (readonly ComponentChildren[])[];
  readonly id?: string;
}

/** A table of rows of cells. */
export function Table({ heads, rows, id }: TableProps) {
  return (
    <Scroller label={`Table: ${heads.filter(Boolean).join(", ")}`}>
      <table class="plain" id={id}>
        <thead>
          <tr>
            {heads.map((head) => (
              <th scope="col" key={head}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((cells, row) => (
            <tr key={row}>
              {cells.map((cell, column) => (
                <td key={column}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroller>
  );
}
