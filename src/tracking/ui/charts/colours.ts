const colours = ["#4063d8", "#d1603d", "#2f9e77", "#9b51e0", "#c99a1b", "#d6336c", "#1098ad", "#7a8b2f"];

/** The colour of the run at this place: eight that differ well, then hues by the golden angle. */
export function colourOf(index: number): string {
  return colours[index] ?? `hsl(${(index * 137.5) % 360} 55% 52%)`;
}

/** The shade of the one at this place of so many, the best at 0: from strong to pale. */
export function shadeOf(rank: number, count: number): string {
  const pale = count < 2 ? 0 : rank / (count - 1);
  return `color-mix(in oklab, var(--accent) ${Math.round(100 - 72 * pale)}%, var(--border))`;
}
