import { invalid } from "../validation.ts";

/** A piece of a filter; `text` is as written, `value` without quotes. */
export type Token =
  | { readonly kind: "name"; readonly text: string }
  | { readonly kind: "quoted"; readonly text: string; readonly value: string; readonly quote: "'" | '"' | "`" }
  | { readonly kind: "number"; readonly text: string }
  | { readonly kind: "operator"; readonly text: string }
  | { readonly kind: "mark"; readonly text: "(" | ")" | "," | "." };

const patterns: readonly (readonly [RegExp, (text: string) => Token])[] = [
  [/`[^`]*`/y, (text) => quoted(text, "`")],
  [/[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])/y, (text) => ({ kind: "number", text })],
  [/[\p{L}\p{N}_]+/uy, (text) => ({ kind: "name", text })],
  [/[<>=!]+/y, (text) => ({ kind: "operator", text })],
  [/[(),.]/y, (text) => ({ kind: "mark", text: text as "(" })],
];

/**
 * Cuts a filter or an order into tokens; quotes are kept apart from what they hold, doubled quotes inside are not undone
 * (MLflow does not either: text with one kind of quotes goes into the other).
 * @throws TRACKING_INVALID at a character that belongs to no token
 */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let position = 0;
  while (position < text.length) {
    if (/\s/.test(text[position]!)) {
      position += 1;
      continue;
    }
    const token = matchAt(text, position);
    if (token === undefined) {
      const rest = text.slice(position, position + 40);
      throw invalid(`Invalid clause(s) in filter string: ${JSON.stringify(rest)}`, "quote text and unusual keys");
    }
    tokens.push(token);
    position += token.text.length;
  }
  return tokens;
}

function matchAt(text: string, position: number): Token | undefined {
  const quote = text[position];
  if (quote === "'" || quote === '"') {
    const end = endOfQuoted(text, position);
    return end === undefined ? undefined : quoted(text.slice(position, end), quote);
  }
  for (const [pattern, make] of patterns) {
    pattern.lastIndex = position;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) return make(found);
  }
  return undefined;
}

/**
 * One step after the quote that closes: doubled and escaped ones do not, unless there is no other. A loop and no
 * pattern: one that tries both readings of each backslash takes ages over a quote that is never closed.
 */
function endOfQuoted(text: string, start: number): number | undefined {
  const quote = text[start]!;
  for (let at = start + 1; at < text.length; at++) {
    const next = text[at + 1];
    if (text[at] === "\\" && (next === quote || next === "\\")) at += 1;
    else if (text[at] === quote && next === quote) at += 1;
    else if (text[at] === quote) return at + 1;
  }
  const first = text.indexOf(quote, start + 1);
  return first === -1 ? undefined : first + 1;
}

function quoted(text: string, quote: "'" | '"' | "`"): Token {
  return { kind: "quoted", text, value: text.slice(1, -1), quote };
}
