import { type RawBuilder, type SqlBool, sql } from "kysely";
import { invalid } from "../validation.ts";

/** Far above any alphabet; databases limit how deep an expression may nest. */
const maxLetters = 200;
/** No letters with two cases beyond it (Adlam ends there). */
const lastCased = 0x1e943;

let letters: ReadonlyMap<string, readonly string[]> | undefined;

/**
 * Text without its case, code point by code point: the lower case of the upper case, where these are one each
 * (Unicode's simple folding but for a few letters without a partner).
 */
function foldCase(text: string): string {
  return Array.from(text, foldLetter).join("");
}

function foldLetter(letter: string): string {
  const upper = letter.toUpperCase();
  const lower = (isOne(upper) ? upper : letter).toLowerCase();
  return isOne(lower) ? lower : letter;
}

function isOne(text: string): boolean {
  return text.length === (text.codePointAt(0)! >= 0x10000 ? 2 : 1);
}

/** By folded letter, the others beyond ASCII that fold to it. */
function lettersByFolded(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (let code = 0x80; code <= lastCased; code++) {
    const letter = String.fromCodePoint(code);
    const folded = foldLetter(letter);
    if (folded === letter) continue;
    const others = found.get(folded);
    if (others === undefined) found.set(folded, [letter]);
    else others.push(letter);
  }
  return found;
}

/**
 * `column LIKE pattern` without regard to case, the same in every database: their own lower() knows ASCII only (SQLite)
 * or what the server's locale says. Only letters that the pattern names need folding; what % and _ stand for may be in
 * any case.
 */
export function ilike(
  column: RawBuilder<unknown>,
  pattern: string,
  likePattern: (text: string) => string,
): RawBuilder<SqlBool> {
  letters ??= lettersByFolded();
  const folded = foldCase(pattern);
  let text = sql`lower(${column})`;
  let replaced = 0;
  for (const letter of new Set(folded)) {
    for (const other of letters.get(letter) ?? []) {
      if (++replaced > maxLetters) {
        throw invalid("an ILIKE pattern has too many different letters", "shorten it, or use % in their place");
      }
      text = sql`replace(${text}, ${other}, ${letter})`;
    }
  }
  return sql<SqlBool>`${text} LIKE ${likePattern(folded)}`;
}
