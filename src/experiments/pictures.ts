import { svgToPng } from "../data/transforms/loaders.ts";

export interface Curve {
  readonly name: string;
  /** Epoch and value. */
  readonly points: readonly (readonly [number, number])[];
}

const colours = ["#3451d1", "#c2410c", "#0f766e", "#9333ea"];
const width = 640;
const height = 360;
const margin = { left: 64, right: 16, top: 40, bottom: 40 };

/** Curves over epochs as a PNG. */
export function curvesPicture({
  title,
  curves,
}: {
  readonly title: string;
  readonly curves: readonly Curve[];
}): Promise<Uint8Array> {
  const points = curves.flatMap((curve) => curve.points);
  const range = (values: readonly number[]): readonly [number, number] => {
    const low = Math.min(...values);
    const high = Math.max(...values);
    return low < high ? [low, high] : [low - 0.5, high + 0.5];
  };
  const [x0, x1] = points.length === 0 ? [0, 1] : range(points.map(([x]) => x));
  const [y0, y1] = points.length === 0 ? [0, 1] : range(points.map(([, y]) => y));
  const x = (value: number): number => margin.left + ((value - x0) / (x1 - x0)) * (width - margin.left - margin.right);
  const y = (value: number): number =>
    height - margin.bottom - ((value - y0) / (y1 - y0)) * (height - margin.top - margin.bottom);
  const ticks = Array.from({ length: 5 }, (_, i) => y0 + ((y1 - y0) * i) / 4);
  return svgToPng(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">
    <rect width="100%" height="100%" fill="white"/>
    <text x="${margin.left}" y="22" font-size="15">${escapeXml(title)}</text>
    ${ticks.map((tick) => `<line x1="${margin.left}" x2="${width - margin.right}" y1="${y(tick)}" y2="${y(tick)}" stroke="#ddd"/><text x="${margin.left - 6}" y="${y(tick) + 4}" text-anchor="end">${tick.toPrecision(3)}</text>`).join("")}
    <text x="${margin.left}" y="${height - 14}">epoch ${x0}</text><text x="${width - margin.right}" y="${height - 14}" text-anchor="end">${x1}</text>
    ${curves.map((curve, i) => `<polyline fill="none" stroke="${colours[i % colours.length]}" stroke-width="2" points="${curve.points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ")}"/><text x="${width - margin.right}" y="${18 + 15 * i}" text-anchor="end" fill="${colours[i % colours.length]}">${escapeXml(curve.name)}</text>`).join("")}
  </svg>`);
}

const cell = 44;
const labels = 110;

/** A confusion matrix as a PNG: rows are true classes, columns predicted ones. */
export function confusionPicture({
  classes,
  confusion,
}: {
  readonly classes: readonly string[];
  readonly confusion: readonly (readonly number[])[];
}): Promise<Uint8Array> {
  // Of many classes only the pattern can be seen.
  const size = Math.max(4, Math.min(cell, Math.floor(900 / Math.max(confusion.length, 1))));
  const legible = size >= 20;
  const side = labels + confusion.length * size + 10;
  const text = (x: number, y: number, content: string, rest = ""): string =>
    legible ? `<text x="${x}" y="${y}" ${rest}>${escapeXml(content)}</text>` : "";
  const rows = confusion.map((row, i) => {
    const total = row.reduce((sum, count) => sum + count, 0) || 1;
    const cells = row.map((count, j) => {
      const share = count / total;
      const place = { x: labels + j * size, y: labels + i * size };
      const colour = share > 0.5 ? "white" : "black";
      return `<rect x="${place.x}" y="${place.y}" width="${size}" height="${size}" fill="#3451d1" fill-opacity="${share.toFixed(3)}"/>${text(place.x + size / 2, place.y + size / 2 + 4, String(count), `text-anchor="middle" fill="${colour}"`)}`;
    });
    const middle = labels + i * size + size / 2;
    const name = classes[i] ?? String(i);
    return `${cells.join("")}${text(labels - 6, middle + 4, name, 'text-anchor="end"')}${text(middle, labels - 6, name, `transform="rotate(-45 ${middle} ${labels - 6})"`)}`;
  });
  return svgToPng(`<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}" font-family="sans-serif" font-size="11">
    <rect width="100%" height="100%" fill="white"/>${rows.join("")}</svg>`);
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
