import type { RawCaller } from "./raw-caller.ts";

export async function registryCalls({ call }: RawCaller): Promise<void> {
  await call("create a registered model", "POST registered-models/create", {
    name: "net",
    description: "d",
    tags: [{ key: "t", value: "1" }],
  });
  await call("create a bare registered model", "POST registered-models/create", { name: "bare" });
  await call("get a registered model", "GET registered-models/get", { name: "net" });
  await call("update a registered model", "PATCH registered-models/update", { name: "net", description: "e" });
  await call("rename a registered model", "POST registered-models/rename", { name: "bare", new_name: "renamed" });
  await call("tag a registered model", "POST registered-models/set-tag", { name: "net", key: "k", value: "v" });
  await call("untag a registered model", "DELETE registered-models/delete-tag", { name: "net", key: "t" });
  await call("untag a registered model again", "DELETE registered-models/delete-tag", { name: "net", key: "t" });
  const { run } = await call("a run for versions", "POST runs/create", {
    experiment_id: "0",
    run_name: "v",
    start_time: 1,
  });
  const run_id = String(run.info.run_id);
  const source = `${run.info.artifact_uri}/model`;
  await call("create a version", "POST model-versions/create", {
    name: "net",
    source,
    run_id,
    run_link: "http://localhost/run",
    description: "first",
    tags: [{ key: "t", value: "1" }],
  });
  await call("create a second version", "POST model-versions/create", { name: "net", source, run_id });
  await call("get a version", "GET model-versions/get", { name: "net", version: "1" });
  await call("get a version by number", "GET model-versions/get", { name: "net", version: 1 });
  await call("update a version", "PATCH model-versions/update", { name: "net", version: "1", description: "again" });
  await call("move a version", "POST model-versions/transition-stage", {
    name: "net",
    version: "1",
    stage: "Production",
    archive_existing_versions: false,
  });
  await call("move a version in small letters", "POST model-versions/transition-stage", {
    name: "net",
    version: "2",
    stage: "production",
    archive_existing_versions: true,
  });
  await call("get the archived version", "GET model-versions/get", { name: "net", version: "1" });
  await call("the latest versions", "POST registered-models/get-latest-versions", { name: "net" });
  await call("the latest versions of stages", "POST registered-models/get-latest-versions", {
    name: "net",
    stages: ["Production", "None"],
  });
  await call("the latest versions by GET", "GET registered-models/get-latest-versions", {
    name: "net",
    stages: "Archived",
  });
  await call("tag a version", "POST model-versions/set-tag", { name: "net", version: "1", key: "k", value: "v" });
  await call("untag a version", "DELETE model-versions/delete-tag", { name: "net", version: "1", key: "t" });
  await call("untag a version again", "DELETE model-versions/delete-tag", { name: "net", version: "1", key: "t" });
  await call("set an alias", "POST registered-models/alias", { name: "net", alias: "champion", version: "1" });
  await call("move an alias", "POST registered-models/alias", { name: "net", alias: "champion", version: "2" });
  await call("set another alias", "POST registered-models/alias", { name: "net", alias: "old", version: "1" });
  await call("get a version by alias", "GET registered-models/alias", { name: "net", alias: "champion" });
  await call("get a model with aliases", "GET registered-models/get", { name: "net" });
  await call("delete an alias", "DELETE registered-models/alias", { name: "net", alias: "champion" });
  await call("delete an alias again", "DELETE registered-models/alias", { name: "net", alias: "champion" });
  await call("get a version by a deleted alias", "GET registered-models/alias", { name: "net", alias: "champion" });
  await call("where a version lies", "GET model-versions/get-download-uri", { name: "net", version: "1" });

  for (const [step, input] of [
    ["all", {}],
    ["by name", { filter: "name = 'net'" }],
    ["by name LIKE", { filter: "name LIKE 'n%'" }],
    ["by name ILIKE", { filter: "name ILIKE 'N%'" }],
    ["by tag", { filter: "tags.k = 'v'" }],
    ["by another tag", { filter: "tags.k != 'v'" }],
    ["in order", { order_by: "name DESC" }],
    ["in two orders", { order_by: ["last_updated_timestamp DESC", "name ASC"], max_results: 1 }],
    ["of no results", { max_results: 0 }],
    ["of too many results", { max_results: 1001 }],
    ["by nonsense", { filter: "nonsense" }],
    ["by an unknown attribute", { filter: "colour = 'x'" }],
    ["by run", { filter: "run_id = 'x'" }],
    ["in an unknown order", { order_by: "colour" }],
    ["of a bad token", { page_token: "evilhax" }],
    ["of words", { max_results: "x" }],
  ] as const)
    await call(`search models ${step}`, "GET registered-models/search", input);
  const page = await call("the first page of models", "GET registered-models/search", { max_results: 1 });
  await call("the second page of models", "GET registered-models/search", {
    max_results: 1,
    page_token: page.next_page_token,
  });
  for (const [step, input] of [
    ["all", {}],
    ["by name", { filter: "name = 'net'" }],
    ["by name LIKE", { filter: "name LIKE 'n%'" }],
    ["by run", { filter: `run_id = '${run_id}'` }],
    ["by runs", { filter: `run_id IN ('${run_id}', 'x')` }],
    ["by tag", { filter: "tags.k = 'v'" }],
    ["by number", { filter: "version_number = 1" }],
    ["by source", { filter: "source_path LIKE '%model'" }],
    ["by stage", { filter: "current_stage = 'Production'" }],
    ["in order", { order_by: "version_number ASC" }],
    ["in another order", { order_by: ["name ASC", "creation_timestamp DESC"] }],
    ["of one result", { max_results: 1 }],
    ["of no results", { max_results: 0 }],
    ["of too many results", { max_results: 200_001 }],
    ["by nonsense", { filter: "nonsense" }],
    ["by an unknown attribute", { filter: "colour = 'x'" }],
    ["by a name that is compared", { filter: "name > 'x'" }],
    ["by no runs", { filter: "run_id IN ()" }],
    ["in an unknown order", { order_by: "colour" }],
    ["of a bad token", { page_token: "evilhax" }],
  ] as const)
    await call(`search versions ${step}`, "GET model-versions/search", input);

  for (const [step, line, input] of [
    ["create a model twice", "POST registered-models/create", { name: "net" }],
    ["create without a name", "POST registered-models/create", {}],
    ["create with a bad name", "POST registered-models/create", { name: "a/b" }],
    ["create with a colon", "POST registered-models/create", { name: "a:b" }],
    ["create with a number", "POST registered-models/create", { name: 5 }],
    ["create with a long name", "POST registered-models/create", { name: "x".repeat(257) }],
    ["get an unknown model", "GET registered-models/get", { name: "none" }],
    ["get no model", "GET registered-models/get", {}],
    ["update an unknown model", "PATCH registered-models/update", { name: "none", description: "x" }],
    ["update without a description", "PATCH registered-models/update", { name: "net" }],
    ["rename an unknown model", "POST registered-models/rename", { name: "none", new_name: "x" }],
    ["rename to a taken name", "POST registered-models/rename", { name: "renamed", new_name: "net" }],
    ["rename to nothing", "POST registered-models/rename", { name: "renamed" }],
    ["delete an unknown model", "DELETE registered-models/delete", { name: "none" }],
    ["tag an unknown model", "POST registered-models/set-tag", { name: "none", key: "k", value: "v" }],
    ["tag a model without a key", "POST registered-models/set-tag", { name: "net", value: "v" }],
    ["tag a model with a bad key", "POST registered-models/set-tag", { name: "net", key: "a*b", value: "v" }],
    ["untag an unknown model", "DELETE registered-models/delete-tag", { name: "none", key: "k" }],
    ["latest versions of an unknown model", "POST registered-models/get-latest-versions", { name: "none" }],
    [
      "latest versions of an unknown stage",
      "POST registered-models/get-latest-versions",
      { name: "net", stages: ["Some"] },
    ],
    ["create a version of an unknown model", "POST model-versions/create", { name: "none", source, run_id }],
    ["create a version without a source", "POST model-versions/create", { name: "net" }],
    ["create a version of a local path", "POST model-versions/create", { name: "net", source: "/etc" }],
    ["create a version of a local address", "POST model-versions/create", { name: "net", source: "file:///etc" }],
    ["create a version above", "POST model-versions/create", { name: "net", source: `${source}/../../x`, run_id }],
    ["create a version of another run", "POST model-versions/create", { name: "net", source, run_id: unknownRun }],
    ["create a version of no run", "POST model-versions/create", { name: "net", source }],
    ["get an unknown version", "GET model-versions/get", { name: "net", version: "99" }],
    ["get a version that is a word", "GET model-versions/get", { name: "net", version: "x" }],
    ["get no version", "GET model-versions/get", { name: "net" }],
    ["get a version of an unknown model", "GET model-versions/get", { name: "none", version: "1" }],
    ["update an unknown version", "PATCH model-versions/update", { name: "net", version: "99", description: "x" }],
    ["delete an unknown version", "DELETE model-versions/delete", { name: "net", version: "99" }],
    [
      "move to an unknown stage",
      "POST model-versions/transition-stage",
      {
        name: "net",
        version: "1",
        stage: "Some",
        archive_existing_versions: false,
      },
    ],
    [
      "move and archive in no stage",
      "POST model-versions/transition-stage",
      {
        name: "net",
        version: "1",
        stage: "None",
        archive_existing_versions: true,
      },
    ],
    ["move without a stage", "POST model-versions/transition-stage", { name: "net", version: "1" }],
    [
      "move an unknown version",
      "POST model-versions/transition-stage",
      {
        name: "net",
        version: "99",
        stage: "Staging",
        archive_existing_versions: false,
      },
    ],
    ["tag an unknown version", "POST model-versions/set-tag", { name: "net", version: "99", key: "k", value: "v" }],
    ["tag a version without a key", "POST model-versions/set-tag", { name: "net", version: "1", value: "v" }],
    ["untag an unknown version", "DELETE model-versions/delete-tag", { name: "net", version: "99", key: "k" }],
    ["alias of an unknown version", "POST registered-models/alias", { name: "net", alias: "a", version: "99" }],
    ["alias of an unknown model", "POST registered-models/alias", { name: "none", alias: "a", version: "1" }],
    ["alias that is reserved", "POST registered-models/alias", { name: "net", alias: "latest", version: "1" }],
    ["alias like a version", "POST registered-models/alias", { name: "net", alias: "v1", version: "1" }],
    ["alias with bad letters", "POST registered-models/alias", { name: "net", alias: "a b", version: "1" }],
    ["alias without a name", "POST registered-models/alias", { name: "net", version: "1" }],
    ["long alias", "POST registered-models/alias", { name: "net", alias: "x".repeat(257), version: "1" }],
    ["unknown alias", "GET registered-models/alias", { name: "net", alias: "none" }],
    ["alias of no model", "GET registered-models/alias", { name: "none", alias: "none" }],
    ["where an unknown version lies", "GET model-versions/get-download-uri", { name: "net", version: "99" }],
  ] as const)
    await call(`registry: ${step}`, line, input);
  await call("delete a version", "DELETE model-versions/delete", { name: "net", version: "1" });
  await call("get a deleted version", "GET model-versions/get", { name: "net", version: "1" });
  await call("delete a registered model", "DELETE registered-models/delete", { name: "net" });
  await call("get a deleted registered model", "GET registered-models/get", { name: "net" });
}

const unknownRun = "f".repeat(32);
