/** What the runs of an experiment have, for proposals. */
export interface KnownFields {
  /** As they stand in a filter: metrics.val_loss, params.model.name. */
  readonly fields: readonly string[];
  /** Values that a field has somewhere, as text; none for metrics. */
  valuesOf(field: string): readonly string[];
}

export interface Completion {
  /** What an accepted proposal replaces. */
  readonly from: number;
  readonly to: number;
  readonly proposals: readonly string[];
}

const maxProposals = 10;
const numeric = [">", ">=", "<", "<=", "=", "!="];
const textual = ["=", "!=", "LIKE", "ILIKE"];
const nullable = ["IS NULL", "IS NOT NULL"];
const numericAttributes = ["attributes.start_time", "attributes.end_time"];

/** Fields that every run has. */
export const attributes = [
  ...["attributes.run_name", "attributes.status", "attributes.user_id", "attributes.run_id"],
  ...numericAttributes,
];

/** What may come next in a filter of MLflow's grammar: a comparison is a field, a comparator and a value, AND joins them. */
export function complete(text: string, caret: number, known: KnownFields): Completion {
  const words = wordsOf(text.slice(0, caret));
  const last = words.at(-1);
  const isTyped = last !== undefined && last.index + last[0].length === caret;
  const typed = isTyped ? last[0] : "";
  const { expected, field } = readUpTo(words.slice(0, isTyped ? -1 : undefined).map(([word]) => word));
  const candidates = {
    field: () => [...known.fields, ...attributes],
    comparator: () => comparatorsOf(field),
    value: () => known.valuesOf(field).flatMap((value) => quoted(value) ?? []),
    join: () => ["AND"],
  }[expected]();
  // A value whose quotes are closed is whole.
  if (/^(['"]).*\1$/.test(typed) && expected === "value") return { from: caret, to: caret, proposals: [] };
  const wanted = typed.toLowerCase().replace(/^['"]/, "");
  const rank = (candidate: string) => candidate.toLowerCase().replace(/^['"]/, "").indexOf(wanted);
  const proposals = candidates
    .filter((candidate) => candidate !== typed && rank(candidate) >= 0)
    .sort((a, b) => Math.min(rank(a), 1) - Math.min(rank(b), 1))
    .slice(0, maxProposals);
  return { from: caret - typed.length, to: caret, proposals };
}

function wordsOf(text: string): readonly RegExpExecArray[] {
  return [...text.matchAll(/(?:[^\s'"`=<>!]|`[^`]*`?|"[^"]*"?)+|'[^']*'?|[=<>!]+/g)];
}

/** Whether a filter is empty or ends with a whole comparison: one that does not is still being typed. */
export function isWhole(text: string): boolean {
  return text.trim() === "" || readUpTo(wordsOf(text).map(([word]) => word)).expected === "join";
}

type Expected = "field" | "comparator" | "value" | "join";

/** What comes after whole words, and the field that the comparison is about. */
function readUpTo(words: readonly string[]): { expected: Expected; field: string } {
  let expected: Expected = "field";
  let field = "";
  let inList = false;
  for (const word of words) {
    const upper = word.toUpperCase();
    switch (expected) {
      case "field":
        field = word.replaceAll(/[`"]/g, "");
        expected = "comparator";
        break;
      case "comparator":
        if (upper === "IS" || upper === "NOT") break;
        inList = upper === "IN";
        expected = upper === "NULL" ? "join" : "value";
        break;
      case "value":
        if (!inList || word.includes(")")) expected = "join";
        break;
      case "join":
        expected = "field";
        break;
      default:
        expected satisfies never;
    }
  }
  return { expected, field };
}

function comparatorsOf(field: string): readonly string[] {
  if (field.startsWith("metrics.") || numericAttributes.includes(field)) return numeric;
  return field.startsWith("attributes.") ? textual : [...textual, ...nullable];
}

/** A field as the grammar reads it: what is no plain name stands in back-ticks. */
export function fieldName(entity: "metrics" | "params" | "tags", key: string): string {
  return `${entity}.${/^[A-Za-z_][\w.]*$/.test(key) ? key : `\`${key}\``}`;
}

/** Text as a value of the grammar, which has no escapes: none when it holds both quotes. */
export function quoted(text: string): string | undefined {
  return ["'", '"'].filter((quote) => !text.includes(quote)).map((quote) => `${quote}${text}${quote}`)[0];
}
