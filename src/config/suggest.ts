/** The known word that `word` was probably meant to be, or undefined when none is near. */
export function suggestWord(word: string, known: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/**
 * The known dotted key that `key` was probably meant to be: the same name in another section, the nearest section for
 * a key without one, the nearest name in the same section, then the nearest of all.
 */
export function suggestKey(key: string, known: readonly string[]): string | undefined {
  const name = lastName(key);
  const sameName = known.find((candidate) => lastName(candidate) === name && candidate !== key);
  if (sameName !== undefined) return sameName;
  const section = key.slice(0, key.length - name.length);
  const wholeSection =
    section === ""
      ? suggestWord(
          name,
          known.filter((candidate) => !candidate.includes(".")),
        )
      : undefined;
  if (wholeSection !== undefined) return wholeSection;
  const siblings = known.filter((candidate) => section !== "" && candidate.startsWith(section));
  const sibling = suggestWord(
    name,
    siblings.map((candidate) => candidate.slice(section.length)),
  );
  if (sibling !== undefined) return section + sibling;
  const anywhere = suggestWord(name, known.map(lastName));
  return anywhere === undefined ? suggestWord(key, known) : known.find((candidate) => lastName(candidate) === anywhere);
}

function lastName(key: string): string {
  return key.slice(key.lastIndexOf(".") + 1);
}

/**
 * Optimal string alignment distance (Levenshtein with swaps of neighbours), at most `limit`: pairs that are further
 * apart are not measured exactly.
 */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? beforePrevious[j - 2]! + 1 : limit;
      current.push(Math.min(substitution, swap, previous[j]! + 1, current[j - 1]! + 1));
    }
    [beforePrevious, previous] = [previous, current];
  }
  return Math.min(previous[b.length]!, limit);
}
