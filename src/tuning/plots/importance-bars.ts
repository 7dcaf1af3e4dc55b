import type { Importance } from "../importance.ts";
import { lastName } from "./parallel-coordinates.ts";
import { drawing, element, text } from "./svg.ts";

/** How much of the objective's variance each parameter explains. */
export function importancePlot(studyId: string, importance: readonly Importance[]): string {
  const size = { width: 720, height: 72 + 28 * Math.max(1, importance.length) };
  const title = `${studyId}: importance of the parameters (fANOVA)`;
  if (importance.length === 0) return drawing(size, title, [text(16, 56, "too few different values yet")]);
  return drawing(
    size,
    title,
    importance.map(({ parameter, share }, index) => {
      const y = 48 + 28 * index;
      return (
        text(190, y + 15, lastName(parameter), "end") +
        element("rect", { class: "mark", x: 200, y, width: Math.max(1, 440 * share), height: 20, rx: 2 }) +
        text(208 + 440 * share, y + 15, `${(100 * share).toFixed(1)} %`)
      );
    }),
  );
}
