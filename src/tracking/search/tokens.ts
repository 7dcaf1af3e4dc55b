import { invalid } from "../validation.ts";

/** A piece of a filter; `text` is as written, `value` without quotes. */
export type Token =
  | { readonly kind: "name"; readonly text: string }
  | { readonly kind: "quoted"; readonly text: string; readonly value: string; readonly quote: "'" | '"' | "`" }
  | { readonly kind: "number"; readonly text: string }
  | { readonly kind: "operator"; readonly text: string }
  | { readonly kind: "mark"; readonly text: "(" | ")" | "," | "." };

const patterns: readonly (readonly [RegExp, (text: string) => Token])[] = [
  [/(?:'(?:''|\\\\|\\'|[^'])*')/y, (text) => quoted(text, "'")],
  [/(?:"(?:""|\\\\|\\"|[^"])*")/y, (text) => quoted(text, '"')],
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
  for (const [pattern, make] of patterns) {
    pattern.lastIndex = position;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) return make(found);
  }
  return undefined;
}

function quoted(text: string, quote: "'" | '"' | "`"): Token {
  return { kind: "quoted", text, value: text.slice(1, -1), quote };
}
