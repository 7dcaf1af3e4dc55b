/** A part of a longer list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Undefined on the last page. */
  readonly nextPageToken: string | undefined;
}
