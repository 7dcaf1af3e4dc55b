import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { number, time } from "../format.ts";
import { axes, type ChartSettings, type Curve, tableOf } from "./curves.ts";

const height = 220;
/** More names than this say nothing under a chart. */
const maxLegend = 12;

interface ChartProps {
  readonly title: string;
  readonly curves: readonly Curve[];
  readonly settings: ChartSettings;
}

/** A chart of curves that fills its place and zooms by dragging (double click: all again). */
export function Chart({ title, curves, settings }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const drawn = useRef<DrawnChart>(undefined);
  useEffect(() => {
    drawn.current ??= drawnChart(place.current!);
    drawn.current.show(curves, settings);
  }, [curves, settings]);
  useEffect(() => {
    const observer = new ResizeObserver(() => drawn.current?.resize());
    observer.observe(place.current!);
    return () => {
      observer.disconnect();
      drawn.current?.destroy();
    };
  }, []);
  return (
    <>
      <figcaption>{title}</figcaption>
      <div class="plot" role="img" aria-label={`${title}: ${curves.length} curves`} ref={place} />
    </>
  );
}

interface DrawnChart {
  show(curves: readonly Curve[], settings: ChartSettings): void;
  resize(): void;
  destroy(): void;
}

/** The library's plot: made anew when curves come or settings change, else only given its new points. */
function drawnChart(place: HTMLElement): DrawnChart {
  let plot: uPlot | undefined;
  let kind = "";
  let zoomed = false;
  place.addEventListener("dblclick", () => {
    zoomed = false;
  });
  const widthOf = () => place.clientWidth || 360;
  return {
    show(curves, settings) {
      const tables = curves.map(({ points }) => tableOf(points, settings));
      const data: uPlot.AlignedData = tables.length < 2 ? (tables[0] ?? [[]]) : uPlot.join(tables);
      const next = JSON.stringify([curves.map(({ name }) => name), settings]);
      if (plot !== undefined && next === kind) {
        plot.setData(data, !zoomed);
        return;
      }
      plot?.destroy();
      kind = next;
      zoomed = false;
      const onZoom = () => {
        zoomed = true;
      };
      const hooks = { setSelect: [onZoom] };
      plot = new uPlot({ ...optionsOf(curves, settings), width: widthOf(), height, hooks }, data, place);
    },
    resize() {
      if (plot !== undefined && plot.width !== widthOf()) plot.setSize({ width: widthOf(), height });
    },
    destroy: () => plot?.destroy(),
  };
}

function optionsOf(curves: readonly Curve[], { axis, logY }: ChartSettings): Omit<uPlot.Options, "width" | "height"> {
  const css = getComputedStyle(document.documentElement);
  const stroke = css.getPropertyValue("--muted").trim();
  const grid = { stroke: css.getPropertyValue("--border").trim(), width: 1 };
  return {
    scales: { x: { time: axis === "time" }, y: { distr: logY ? 3 : 1 } },
    legend: { show: curves.length <= maxLegend },
    cursor: { drag: { x: true, y: false }, focus: { prox: 24 } },
    focus: { alpha: 0.25 },
    axes: [
      {
        stroke,
        grid,
        ticks: grid,
        label: axis === "relative" ? "seconds since start" : axes[axis],
        labelSize: 18,
        size: 36,
      },
      {
        stroke,
        grid,
        ticks: grid,
        size: 62,
        values: (_plot, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick))),
      },
    ],
    series: [
      { label: axis, value: (_plot, x) => (x === null ? "" : axis === "time" ? time(1000 * x) : number(x)) },
      ...curves.map(({ name, colour, points }) => ({
        label: name,
        stroke: colour,
        width: 1.75,
        spanGaps: true,
        points: { show: curves.length === 1 && points.length < 40 },
        value: (_plot: uPlot, y: number | null) => number(y),
      })),
    ],
  };
}
