/** Drawings as SVG text: readable on light and dark pages, without scripts and without anything from outside. */

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The area inside the axes. */
export interface Frame extends Size {
  readonly left: number;
  readonly top: number;
}

type Attributes = Readonly<Record<string, string | number>>;

export function element(name: string, attributes: Attributes, content = ""): string {
  const written = Object.entries(attributes).map(
    ([key, value]) => `${key}="${typeof value === "number" ? short(value) : escapeText(value)}"`,
  );
  return content === "" ? `<${name} ${written.join(" ")}/>` : `<${name} ${written.join(" ")}>${content}</${name}>`;
}

/** Text with a class: "title", "label" (axis), "end" (right-aligned), "middle". */
export function text(x: number, y: number, words: string, kind = "label"): string {
  return element("text", { x, y, class: kind }, escapeText(words));
}

/** What the pointer shows over a mark. */
export function titled(mark: string, words: string): string {
  return mark.replace(
    /\/>$/,
    `><title>${escapeText(words)}</title>${mark.startsWith("<circle") ? "</circle>" : "</path>"}`,
  );
}

export function drawing({ width, height }: Size, title: string, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeText(title)}">`,
    `<style>${style}</style>`,
    element("rect", { class: "page", x: 0, y: 0, width, height }),
    text(16, 24, title, "title"),
    ...parts,
    "</svg>\n",
  ].join("\n");
}

const style = [
  ":root{--ink:#1f2933;--soft:#7b8794;--line:#d9dee4;--page:#fff;--mark:#2563eb;--best:#d97706;--poor:#9aa5b1}",
  "@media (prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa5b1;--line:#3a4450;--page:#161b21;--mark:#7aa5ff;--best:#fbbf24;--poor:#5b6672}}",
  ".page{fill:var(--page)}text{font:12px system-ui,sans-serif;fill:var(--soft)}.title{font-size:14px;fill:var(--ink)}",
  ".end{text-anchor:end}.middle{text-anchor:middle}.grid{stroke:var(--line);fill:none}.mark{fill:var(--mark)}",
  ".poor{fill:var(--poor)}.best{fill:var(--best)}.curve{stroke:var(--best);stroke-width:2;fill:none}",
  ".trial{fill:none;stroke-width:1.5;opacity:.8}",
].join("");

export interface Axis {
  readonly min: number;
  readonly max: number;
}

/** The range of some values, a little wider, never empty. */
export function rangeOf(values: readonly number[]): Axis {
  const [min, max] = [Math.min(...values), Math.max(...values)];
  const margin = max > min ? 0.05 * (max - min) : Math.abs(max) * 0.05 || 1;
  return { min: min - margin, max: max + margin };
}

/** Round numbers inside a range. */
export function ticks({ min, max }: Axis, about = 5): readonly number[] {
  const raw = (max - min) / about;
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((factor) => factor * magnitude >= raw) ?? 10) * magnitude;
  const found: number[] = [];
  for (let n = Math.ceil(min / step); n * step <= max; n++) found.push(Number((n * step).toPrecision(12)));
  return found;
}

/** Horizontal lines with their numbers, and the name of the axis. */
export function verticalAxis(frame: Frame, axis: Axis, name: string): string {
  const lines = ticks(axis).map((tick) => {
    const y = place(axis, tick, frame.top + frame.height, frame.top);
    const line = element("path", { class: "grid", d: `M${frame.left} ${short(y)}h${frame.width}` });
    return line + text(frame.left - 6, y + 4, figure(tick), "end");
  });
  return lines.join("\n") + text(frame.left, frame.top - 8, name);
}

/** Where a value lies between two positions. */
export function place({ min, max }: Axis, value: number, from: number, to: number): number {
  return from + ((value - min) / (max - min)) * (to - from);
}

export function figure(value: number): string {
  return String(Number(value.toPrecision(4)));
}

export function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** From poor (0) to good (1). */
export function shade(goodness: number): string {
  const mix = (from: number, to: number): number => Math.round(from + Math.min(1, Math.max(0, goodness)) * (to - from));
  return `rgb(${mix(176, 37)},${mix(190, 99)},${mix(205, 235)})`;
}

function escapeText(words: string): string {
  return words.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
