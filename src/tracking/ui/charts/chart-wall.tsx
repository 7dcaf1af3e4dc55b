import { useEffect, useRef, useState } from "preact/hooks";
import { histories } from "../api.ts";
import { Select, Toggle } from "../fields.tsx";
import { useRepeatedWork } from "../work.ts";
import { Chart } from "./chart.tsx";
import { axes, type ChartSettings, type Curve } from "./curves.ts";

const refreshMs = 3000;
const storageKey = "chart-settings";

interface Subject {
  readonly id: string;
  readonly name: string;
  readonly colour: string;
}

interface ChartWallProps {
  /** Metrics: a chart each. */
  readonly keys: readonly string[];
  /** Runs with name and colour: a curve each. */
  readonly runs: readonly Subject[];
  /** Whether points still come. */
  readonly live: boolean;
}

/** Charts of metrics of one or many runs, drawn when they come into sight and kept up to date. */
export function ChartWall({ keys, runs, live }: ChartWallProps) {
  const [settings, setSettings] = useState<ChartSettings>(() => ({
    axis: "step",
    logY: false,
    smoothing: 0,
    ...JSON.parse(localStorage.getItem(storageKey) ?? "{}"),
  }));
  const change = (part: Partial<ChartSettings>) => {
    const next = { ...settings, ...part };
    localStorage.setItem(storageKey, JSON.stringify(next));
    setSettings(next);
  };
  return (
    <div>
      <div class="bar">
        <Select
          label="Across"
          value={settings.axis}
          options={Object.entries(axes) as [keyof typeof axes, string][]}
          onChange={(axis) => change({ axis })}
        />
        <label class="field">
          Smoothing
          <input
            type="range"
            min="0"
            max="0.99"
            step="0.01"
            aria-label="Smoothing"
            value={settings.smoothing}
            onInput={(event) => change({ smoothing: event.currentTarget.valueAsNumber })}
          />
        </label>
        <Toggle label="Logarithmic" checked={settings.logY} onChange={(logY) => change({ logY })} />
        <span class="muted">drag to zoom, double-click to see all</span>
      </div>
      <div class="charts">
        {keys.map((key) => (
          <MetricChart key={key} metric={key} runs={runs} live={live} settings={settings} />
        ))}
      </div>
    </div>
  );
}

interface MetricChartProps {
  readonly metric: string;
  readonly runs: readonly Subject[];
  readonly live: boolean;
  readonly settings: ChartSettings;
}

function MetricChart({ metric, runs, live, settings }: MetricChartProps) {
  const place = useRef<HTMLElement>(null);
  const inSight = useInSight(place);
  const [curves, setCurves] = useState<readonly Curve[]>([]);
  const wasSeen = useRef(false);
  wasSeen.current ||= inSight;
  const ids = runs.map(({ id }) => id);
  useRepeatedWork(
    async (signal) => {
      if (!wasSeen.current) return;
      const found = await histories(ids, metric, { maxPoints: runs.length > 50 ? 200 : 1000 }, signal);
      if (signal.aborted) return;
      setCurves(
        runs
          .map(({ id, name, colour }) => ({ name, colour, points: found.get(id) ?? [] }))
          .filter(({ points }) => points.length > 0),
      );
    },
    // When no more points come the last ones are still to be read.
    [metric, ids.join(), wasSeen.current, live],
    { ms: refreshMs, active: live && inSight },
  );
  return (
    <figure class="chart" ref={place}>
      <Chart title={metric} curves={curves} settings={settings} />
    </figure>
  );
}

function useInSight(place: { readonly current: Element | null }): boolean {
  const [inSight, setInSight] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => setInSight(entries.at(-1)!.isIntersecting));
    observer.observe(place.current!);
    return () => observer.disconnect();
  }, []);
  return inSight;
}
