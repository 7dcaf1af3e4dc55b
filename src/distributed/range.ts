/** Elements of an array from `start` to before `end`. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** The pieces of a range, of so many elements at most. */
export function* piecesOf({ start, end }: Range, length: number): Generator<Range> {
  for (let from = start; from < end; from += length) yield { start: from, end: Math.min(end, from + length) };
}
