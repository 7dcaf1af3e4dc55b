import type { RawCaller } from "./raw-caller.ts";

export async function experimentCalls({ call }: RawCaller): Promise<void> {
  await call("the default experiment", "GET experiments/get", { experiment_id: "0" });
  const made = await call("create an experiment", "POST experiments/create", {
    name: "raw ä",
    tags: [{ key: "team", value: "a" }],
  });
  const id = String(made.experiment_id);
  await call("get an experiment", "GET experiments/get", { experiment_id: id });
  await call("get an experiment by name", "GET experiments/get-by-name", { experiment_name: "raw ä" });
  await call("create an experiment with a location", "POST experiments/create", {
    name: "located",
    artifact_location: "mlflow-artifacts:/elsewhere",
  });
  await call("get the one with a location", "GET experiments/get-by-name", { experiment_name: "located" });
  await call("rename an experiment", "POST experiments/update", { experiment_id: id, new_name: "renamed" });
  await call("tag an experiment", "POST experiments/set-experiment-tag", { experiment_id: id, key: "k", value: "v" });
  await call("tag an experiment with nothing", "POST experiments/set-experiment-tag", {
    experiment_id: id,
    key: "empty",
    value: "",
  });
  await call("untag an experiment", "POST experiments/delete-experiment-tag", { experiment_id: id, key: "team" });
  await call("untag an experiment again", "POST experiments/delete-experiment-tag", { experiment_id: id, key: "team" });
  await call("the tags of an experiment", "GET experiments/get", { experiment_id: id });
  for (const [step, input] of [
    ["all", { max_results: 100 }],
    ["by name LIKE", { filter: "name LIKE 'ren%'", max_results: 5 }],
    ["by name ILIKE", { filter: "name ILIKE 'REN%'", max_results: 5 }],
    ["by attribute", { filter: "attribute.name = 'renamed'", max_results: 5 }],
    ["by tag", { filter: "tags.k = 'v'", max_results: 5 }],
    ["by tag and name", { filter: "tags.`k` != 'w' AND name != 'x'", max_results: 5 }],
    ["by creation time", { filter: "creation_time > 0", max_results: 5 }],
    ["in order", { order_by: ["name DESC"], max_results: 2 }],
    ["in two orders", { order_by: ["creation_time ASC", "name ASC"], max_results: 5 }],
    ["deleted ones", { view_type: "DELETED_ONLY", max_results: 5 }],
    ["with a number for the view", { view_type: 3, max_results: 5 }],
    ["of no results", { max_results: 0 }],
    ["of negative results", { max_results: -1 }],
    ["of too many results", { max_results: 50_001 }],
    ["without max_results", {}],
    ["with a bad filter", { filter: "nonsense", max_results: 5 }],
    ["with a filter by OR", { filter: "name = 'a' OR name = 'b'", max_results: 5 }],
    ["with a filter of an unknown attribute", { filter: "colour = 'a'", max_results: 5 }],
    ["with a filter of an unquoted value", { filter: "name = renamed", max_results: 5 }],
    ["with an unknown order", { order_by: ["colour"], max_results: 5 }],
    ["with a bad order", { order_by: ["name SIDEWAYS"], max_results: 5 }],
    ["with a bad token", { page_token: "evilhax", max_results: 5 }],
    ["with text for max_results", { max_results: "x" }],
    ["with text for a list", { order_by: "name", max_results: 5 }],
    ["with an unknown view", { view_type: "SOME", max_results: 5 }],
  ] as const)
    await call(`search experiments ${step}`, "POST experiments/search", input);
  await call("search experiments by GET", "GET experiments/search", { max_results: 5, filter: "name = 'renamed'" });
  const page = await call("the first page of experiments", "POST experiments/search", { max_results: 1 });
  await call("the second page of experiments", "POST experiments/search", {
    max_results: 1,
    page_token: page.next_page_token,
  });
  await call("delete an experiment", "POST experiments/delete", { experiment_id: id });
  await call("get a deleted experiment", "GET experiments/get", { experiment_id: id });
  await call("get a deleted experiment by name", "GET experiments/get-by-name", { experiment_name: "renamed" });
  await call("tag a deleted experiment", "POST experiments/set-experiment-tag", {
    experiment_id: id,
    key: "late",
    value: "v",
  });
  await call("rename a deleted experiment", "POST experiments/update", { experiment_id: id, new_name: "other" });
  await call("create a run in a deleted experiment", "POST runs/create", { experiment_id: id, start_time: 1 });
  await call("delete an experiment again", "POST experiments/delete", { experiment_id: id });
  await call("restore an experiment", "POST experiments/restore", { experiment_id: id });
  await call("restore an experiment again", "POST experiments/restore", { experiment_id: id });
  await call("create an experiment twice", "POST experiments/create", { name: "renamed" });
  await call("rename to a name that is taken", "POST experiments/update", { experiment_id: id, new_name: "located" });
  for (const [step, line, input] of [
    ["create without a name", "POST experiments/create", {}],
    ["create with an empty name", "POST experiments/create", { name: "" }],
    ["create with a number for the name", "POST experiments/create", { name: 5 }],
    ["create with a long name", "POST experiments/create", { name: "x".repeat(501) }],
    ["create with text for tags", "POST experiments/create", { name: "t", tags: "x" }],
    [
      "create with a fragment in the location",
      "POST experiments/create",
      {
        name: "u",
        artifact_location: "mlflow-artifacts:/x#y",
      },
    ],
    [
      "create with a way up in the location",
      "POST experiments/create",
      {
        name: "w",
        artifact_location: "mlflow-artifacts:/x/../../y",
      },
    ],
    ["get without an id", "GET experiments/get", {}],
    ["get an unknown one", "GET experiments/get", { experiment_id: "987654" }],
    ["get a word", "GET experiments/get", { experiment_id: "abc" }],
    ["get an unknown name", "GET experiments/get-by-name", { experiment_name: "none" }],
    ["get no name", "GET experiments/get-by-name", {}],
    ["delete an unknown one", "POST experiments/delete", { experiment_id: "987654" }],
    ["delete without an id", "POST experiments/delete", {}],
    ["restore an unknown one", "POST experiments/restore", { experiment_id: "987654" }],
    ["rename an unknown one", "POST experiments/update", { experiment_id: "987654", new_name: "q" }],
    ["rename without a name", "POST experiments/update", { experiment_id: id }],
    ["tag without a key", "POST experiments/set-experiment-tag", { experiment_id: id, value: "v" }],
    ["tag an unknown one", "POST experiments/set-experiment-tag", { experiment_id: "987654", key: "k", value: "v" }],
    [
      "tag with a long key",
      "POST experiments/set-experiment-tag",
      {
        experiment_id: id,
        key: "k".repeat(251),
        value: "v",
      },
    ],
    [
      "tag with a long value",
      "POST experiments/set-experiment-tag",
      {
        experiment_id: id,
        key: "k",
        value: "v".repeat(5001),
      },
    ],
    ["untag an unknown one", "POST experiments/delete-experiment-tag", { experiment_id: "987654", key: "k" }],
  ] as const)
    await call(`experiments: ${step}`, line, input);
}
