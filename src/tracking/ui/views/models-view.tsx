import { useState } from "preact/hooks";
import { call, type RegisteredModel } from "../api.ts";
import { Empty, Table } from "../fields.tsx";
import { time } from "../format.ts";
import { link } from "../route.ts";
import { useWork } from "../work.ts";

/** The registry. */
export function ModelsView() {
  const [models, setModels] = useState<readonly RegisteredModel[]>();
  useWork(async (signal) => {
    const { registered_models = [] } = await call<{ registered_models?: RegisteredModel[] }>(
      "GET",
      "registered-models/search",
      { max_results: 1000 },
      signal,
    );
    setModels(registered_models);
  }, []);
  if (models === undefined) return <p class="muted">Loading …</p>;
  return (
    <>
      <h1>Registered models</h1>
      {models.length === 0 ? (
        <Empty title="No models are registered">
          <p>A training registers its model when it is asked to:</p>
          <p>
            <code>cifar train --set mlflow.tracking_uri={location.origin} --set mlflow.register_model=true</code>
          </p>
        </Empty>
      ) : (
        <Table heads={["Model", "Latest version", "Aliases", "Changed"]} rows={models.map(rowOf)} />
      )}
    </>
  );
}

function rowOf({ name, latest_versions = [], aliases = [], last_updated_timestamp }: RegisteredModel) {
  return [
    <a href={link(["models", name])}>{name}</a>,
    Math.max(0, ...latest_versions.map(({ version }) => Number(version))) || "",
    aliases.map(({ alias, version }) => (
      <span class="badge" key={alias}>
        {alias} → {version}
      </span>
    )),
    time(last_updated_timestamp),
  ];
}
