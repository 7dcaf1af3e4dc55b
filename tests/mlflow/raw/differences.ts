import type { Difference } from "./compare.ts";

/** Why an answer of ours is not the one of MLflow's server. */
export interface Explained {
  readonly why: string;
  /** Names of steps; "any" for all of them. Each one named has to differ, and "any" at least one. */
  readonly steps: readonly string[] | "any";
  /** The fields that may differ; all when the two statuses are given. */
  readonly fields?: RegExp;
  /** Ours and theirs, which both have to be these. */
  readonly statuses?: readonly [ours: number, theirs: number];
}

/** MLflow 3.17.2 and we. Whatever is not here is the same, field by field. */
export const explained: readonly Explained[] = [
  {
    why: "messages are in our own words, and say what to do",
    steps: "any",
    fields: /^body\.message$/,
  },
  {
    why: "MLflow takes what is neither a name nor a number of the list for its default, or keeps an unknown state",
    statuses: [400, 200],
    steps: [
      "search experiments with an unknown view",
      "search runs of an unknown view",
      "runs: update to an unknown status",
      "finalise to an unknown status",
    ],
  },
  {
    why: "MLflow checks the outermost fields alone: a number is a name inside, a fraction is no time, a key may lack",
    statuses: [400, 200],
    steps: [
      "runs: create with a fraction for a time",
      "runs: create with a number for a tag",
      "runs: create with a tag without a key",
      "runs: log inputs without a name",
    ],
  },
  {
    why: "a body of the wrong shape is the fault of the client, not one of the server",
    statuses: [400, 500],
    steps: [
      "runs: log a batch of a list in a list",
      "histories in bulk with a word for the limit",
      "search logged models of a bad token",
      "search logged models by an unknown attribute",
      "registry: move and archive in no stage",
      "a body that is a list",
      "a body that is a number",
    ],
  },
  {
    why: "a run that does not exist is told as such, not as one without metrics",
    statuses: [404, 200],
    steps: [
      "get a history of an unknown run",
      "histories in bulk of an unknown run",
      "histories by intervals of an unknown run",
    ],
  },
  {
    why: "MLflow ignores a limit that is no number, or below zero, or answers with no entry and a token for no entry",
    statuses: [400, 200],
    steps: ["get a history of words", "search logged models of negative results", "search models of no results"],
  },
  {
    why: "more than 256 characters do not fit the column that a name has in PostgreSQL",
    statuses: [400, 200],
    steps: ["registry: create with a long name"],
  },
  {
    why: "we are lenient: a limit of 1,000 is assumed, one text is a list of one, protobuf's other spelling is known",
    statuses: [200, 400],
    steps: [
      "search experiments without max_results",
      "search experiments with text for a list",
      "a body in camel case",
    ],
  },
  {
    why: "the same value may be logged again, so that a client may repeat a request whose answer was lost",
    statuses: [200, 400],
    steps: ["log parameters of a model again"],
  },
  {
    why: "MLflow knows no better than that a constraint of the database was hurt",
    fields: /^body\.(error_code|error_class)$/,
    steps: ["rename to a name that is taken", "log other parameters of a model"],
  },
  {
    why: "MLflow writes spaces, another order and a model_uuid of null into this JSON",
    fields: /^body\.run\.data\.tags\.\d+\.value$/,
    steps: ["get the full run"],
  },
  {
    why: "MLflow compares the number of a status with its name, and an absent digest with the empty one: nothing is found",
    fields: /^body\.models$/,
    steps: ["search logged models by status", "search logged models by data set"],
  },
  {
    why: "a size of 0 is told, which MLflow leaves out",
    fields: /^body\.files\.\d+\.file_size$/,
    steps: ["list artifacts", "list artifacts by the proxy", "list what is left"],
  },
  {
    why: "JSON is told as JSON (an attachment, like all artifacts); MLflow calls it plain text",
    fields: /^(type|body)$/,
    steps: ["get a JSON artifact"],
  },
  {
    why: "one place of MLflow has a class of its own for an unknown attribute; the others have that of wrong values",
    fields: /^body\.(sqlstate|error_class)$/,
    steps: ["search logged models in an unknown order"],
  },
  {
    why: "an error of MLflow's artifact router has a field of its own; ours is like the other errors",
    fields: /^body\.(error_code|error_class|sqlstate|detail|message)$/,
    steps: ["get a folder"],
  },
  {
    why: "MLflow uploads in parts to object stores alone; ours does on its own disk",
    statuses: [200, 501],
    steps: ["begin an upload in parts", "complete an upload in parts", "begin another upload", "abort an upload"],
  },
  { why: "as above", statuses: [200, 404], steps: ["get what was uploaded in parts"] },
  { why: "as above", statuses: [400, 501], steps: ["begin an upload without a number"] },
  { why: "as above", statuses: [404, 501], steps: ["complete an unknown upload"] },
  {
    why: "versions have their aliases in lists too, not only when they are asked for alone",
    fields: /^body\.(registered_models?(\.\d+)?\.latest_versions|model_versions)\.\d+\.aliases$/,
    steps: "any",
  },
  { why: "the version is plain text, not a page", fields: /^type$/, steps: ["version"] },
  {
    why: "our errors are JSON everywhere; MLflow's are pages for what is no call",
    fields: /^(type|body)$/,
    steps: ["an unknown call", "an unknown path"],
  },
  { why: "a call exists by its method and path together", statuses: [404, 405], steps: ["a wrong method"] },
];

/** What no entry explains, and what entries explain that does not differ. */
export function unexplained(
  differences: readonly Difference[],
  entries: readonly Explained[] = explained,
): { readonly differences: readonly Difference[]; readonly stale: readonly string[] } {
  const used = new Set<string>();
  const left = differences.filter((difference) => {
    const entry = entries.find((candidate) => explains(candidate, difference, differences));
    if (entry !== undefined) used.add(`${entry.why}: ${entry.steps === "any" ? "any" : difference.step}`);
    return entry === undefined;
  });
  const named = entries.flatMap(({ why, steps }) =>
    steps === "any" ? [`${why}: any`] : steps.map((step) => `${why}: ${step}`),
  );
  return { differences: left, stale: named.filter((name) => !used.has(name)) };
}

function explains(
  { steps, fields, statuses }: Explained,
  { step, path, ours, theirs }: Difference,
  all: readonly Difference[],
): boolean {
  if (steps !== "any" && !steps.includes(step)) return false;
  if (path === "body.message" && steps === "any")
    return [ours, theirs].every((words) => typeof words === "string" && words !== "");
  if (fields !== undefined) return fields.test(path);
  const pair = all.find((other) => other.step === step && other.path === "status");
  return pair !== undefined && pair.ours === statuses?.[0] && pair.theirs === statuses?.[1];
}
