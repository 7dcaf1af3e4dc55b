import type { Answer, RawCaller } from "./raw-caller.ts";

export interface Difference {
  readonly step: string;
  /** "status", "type", or the way to the field, as in "body.run.info.status". */
  readonly path: string;
  readonly ours: unknown;
  readonly theirs: unknown;
}

const clocks = new Set([
  "creation_time",
  "last_update_time",
  "creation_timestamp",
  "last_updated_timestamp",
  "creation_timestamp_ms",
  "last_updated_timestamp_ms",
  "start_time",
  "end_time",
]);
const idFields = new Set(["run_id", "run_uuid", "model_id", "upload_id"]);
const generatedName = /^[a-z]+-[a-z]+-\d+$|^(run|model)-[0-9a-f]{8}$/;

/** Puts names in place of what every server makes up: ids, times of now, names of runs, its address. */
export function normalise({ url, answers }: RawCaller): Answer[] {
  const ids = new Map<string, string>();
  const learn = (step: string, value: unknown, key = ""): void => {
    if (typeof value === "string" && idFields.has(key) && value.length >= 30 && !ids.has(value))
      ids.set(value, `<${key === "run_uuid" ? "run_id" : key} of "${step}">`);
    if (typeof value === "object" && value !== null)
      for (const [k, item] of Object.entries(value)) learn(step, item, k);
  };
  const put = (value: unknown, key = ""): unknown => {
    if (typeof value === "string") {
      if (key === "next_page_token") return value === "" ? "" : "<token>";
      if (generatedName.test(value)) return "<generated name>";
      let text = value.replaceAll(url, "<server>");
      for (const [id, name] of ids) text = text.replaceAll(id, name);
      return text;
    }
    if (typeof value === "number" && clocks.has(key) && value > 1.6e12) return "<now>";
    if (Array.isArray(value)) return value.map((item) => put(item));
    if (typeof value === "object" && value !== null)
      return Object.fromEntries(Object.entries(value).map(([k, item]) => [k, put(item, k)]));
    return value;
  };
  for (const { step, body } of answers) learn(step, body);
  return answers.map((answer) => ({ ...answer, body: put(answer.body) }));
}

/** Field by field, of answers that were normalised; the order of tags, metrics and params is the server's own. */
export function compare(ours: readonly Answer[], theirs: readonly Answer[]): Difference[] {
  const found: Difference[] = [];
  const walk = (step: string, path: string, a: unknown, b: unknown): void => {
    if (Object.is(a, b)) return;
    const both = typeof a === "object" && typeof b === "object" && a !== null && b !== null;
    if (!both || Array.isArray(a) !== Array.isArray(b)) {
      found.push({ step, path, ours: a, theirs: b });
      return;
    }
    const left = fieldsOf(a, path);
    const right = fieldsOf(b, path);
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)]))
      walk(step, `${path}.${key}`, left[key], right[key]);
  };
  for (const [index, answer] of ours.entries()) {
    const other = theirs[index];
    if (other?.step !== answer.step) throw new Error(`step ${answer.step} has no counterpart`);
    walk(answer.step, "status", answer.status, other.status);
    walk(answer.step, "type", answer.type, other.type);
    walk(answer.step, "body", answer.body, other.body);
  }
  return found;
}

function fieldsOf(value: object, path: string): Record<string, unknown> {
  if (!Array.isArray(value)) return value as Record<string, unknown>;
  const unordered = /\.(tags|params|metrics|aliases)$/.test(path) && value.every((item) => "key" in Object(item));
  const items = unordered ? [...value].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)) : value;
  return Object.fromEntries(items.entries());
}
