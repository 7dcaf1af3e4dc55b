/** An address of the page: #/compare?runs=a,b. */
export interface Route {
  /** Words of the path. */
  readonly words: readonly string[];
  readonly query: URLSearchParams;
}

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  return { words: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

/** A word without its escapes; one that was typed with a bare % stays as it is. */
function decoded(word: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}

/** The link to a view; parts of the query that say nothing are left out. */
export function link(words: readonly string[], query: Readonly<Record<string, string | undefined>> = {}): string {
  const said = Object.entries(query).filter((entry): entry is [string, string] => (entry[1] ?? "") !== "");
  const path = `#/${words.map(encodeURIComponent).join("/")}`;
  return said.length === 0 ? path : `${path}?${new URLSearchParams(said)}`;
}

/** Writes what a view shows into the address, so that it can be shared, without a step in the history. */
export function showInAddress(...[words, query]: Parameters<typeof link>): void {
  history.replaceState(null, "", link(words, query));
}
