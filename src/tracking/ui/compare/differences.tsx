import { useState } from "preact/hooks";
import { Scroller, Toggle } from "../fields.tsx";
import { number } from "../format.ts";
import type { Run } from "../runs/run.ts";

export type ColouredRun = Run & { readonly colour: string };

interface DifferencesProps {
  readonly runs: readonly ColouredRun[];
  readonly paramKeys: readonly string[];
  readonly metricKeys: readonly string[];
  /** How many are compared, of which `runs` are the first. */
  readonly total: number;
}

/** A row a metric and param, a column a run. */
export function Differences({ runs, paramKeys, metricKeys, total }: DifferencesProps) {
  const [onlyDifferent, setOnlyDifferent] = useState(true);
  const rows = [
    ...metricKeys.map((key) => ({ key, kind: "metric", values: runs.map(({ metrics }) => metrics[key]) })),
    ...paramKeys.map((key) => ({ key, kind: "param", values: runs.map(({ params }) => params[key]) })),
  ].map((row) => ({ ...row, differs: row.values.some((value) => !Object.is(value, row.values[0])) }));
  return (
    <div>
      <div class="bar">
        <Toggle label="Only what differs" id="diff-only" checked={onlyDifferent} onChange={setOnlyDifferent} />
        {total > runs.length ? (
          <span class="muted">
            the first {runs.length} of {total} runs
          </span>
        ) : null}
      </div>
      <Scroller label="Table of differences">
        <table class="plain" id="differences">
          <thead>
            <tr>
              <th>Key</th>
              <th>Kind</th>
              {runs.map(({ id, name, colour }) => (
                <th scope="col" key={id}>
                  <span aria-hidden="true" style={{ color: colour }}>
                    ●
                  </span>{" "}
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows
              .filter(({ differs }) => differs || !onlyDifferent)
              .map(({ key, kind, values, differs }) => (
                <tr key={`${kind} ${key}`} class={differs && !onlyDifferent ? "changed" : undefined}>
                  <th scope="row">{key}</th>
                  <td class="muted">{kind}</td>
                  {values.map((value, index) => (
                    <td key={index}>{number(value)}</td>
                  ))}
                </tr>
              ))}
          </tbody>
        </table>
      </Scroller>
    </div>
  );
}
