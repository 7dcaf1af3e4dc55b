import { useContext, useState } from "preact/hooks";
import { call, type ModelEvent, type ModelVersion, type RegisteredModel } from "../api.ts";
import { quoted } from "../experiment/filter-completion.ts";
import { Empty, Table } from "../fields.tsx";
import { time } from "../format.ts";
import { ReportContext } from "../report.ts";
import { link } from "../route.ts";
import { useWork } from "../work.ts";

const champion = "champion";

interface Found {
  readonly model: RegisteredModel;
  readonly versions: readonly ModelVersion[];
  readonly events: readonly ModelEvent[];
}

/** The versions of one registered model, and what they are called. */
export function ModelView({ name }: { name: string }) {
  const [found, setFound] = useState<Found>();
  const [changes, setChanges] = useState(0);
  const report = useContext(ReportContext);
  useWork(
    async (signal) => {
      const { registered_model: model } = await call<{ registered_model: RegisteredModel }>(
        "GET",
        "registered-models/get",
        { name },
        signal,
      );
      const value = quoted(name);
      if (value === undefined)
        throw new Error(`the model ${name} has both quotes in its name: rename it to see it here`);
      const { model_versions: versions = [] } = await call<{ model_versions?: ModelVersion[] }>(
        "GET",
        "model-versions/search",
        { filter: `name = ${value}`, max_results: 1000, order_by: "version_number DESC" },
        signal,
      );
      const { events } = await call<{ events: ModelEvent[] }>("GET", "registered-models/get-history", { name }, signal);
      setFound({ model, versions, events });
    },
    [name, changes],
  );
  if (found === undefined) return <p class="muted">Loading …</p>;
  const change: Change = (method, path, input) => {
    call(method, path, { name, ...input })
      .then(() => report(undefined), report)
      .finally(() => setChanges((count) => count + 1));
  };
  const { model, versions, events } = found;
  const aliasesOf = (version: string) =>
    (model.aliases ?? []).filter((one) => String(one.version) === String(version)).map(({ alias }) => alias);
  return (
    <>
      <p>
        <a href="#/models">Registered models</a>
      </p>
      <h1>{name}</h1>
      {model.description ? <p>{model.description}</p> : null}
      {versions.length === 0 ? (
        <Empty title="No versions">
          <p>Register one with mlflow.register_model=true.</p>
        </Empty>
      ) : (
        <Table
          heads={["Version", "Aliases", "Promote", "Run", "Stage", "Created", "Description"]}
          rows={versions.map((version) => rowOf(version, aliasesOf(version.version), change))}
        />
      )}
      <h2>History</h2>
      {events.length === 0 ? (
        <p class="muted">nothing yet</p>
      ) : (
        <Table
          id="history"
          heads={["When", "Version", "What"]}
          rows={events.map(({ time: at, version, kind, value }) => [time(at), version, `${kind} ${value}`.trim()])}
        />
      )}
      <p class="muted">
        Load it in Python: <code>mlflow.pyfunc.load_model("models:/{name}@champion")</code>
      </p>
    </>
  );
}

/** Changes the model, and shows what came of it. */
type Change = (method: "POST" | "DELETE", path: string, input: Readonly<Record<string, unknown>>) => void;

function rowOf(
  { version, run_id, current_stage = "None", creation_timestamp, description }: ModelVersion,
  aliases: readonly string[],
  change: Change,
) {
  return [
    `Version ${version}`,
    aliases.map((alias) => (
      <span class="badge" key={alias}>
        {alias}{" "}
        <button
          type="button"
          aria-label={`Remove alias ${alias}`}
          onClick={() => change("DELETE", "registered-models/alias", { alias })}
        >
          ×
        </button>
      </span>
    )),
    <Promotion key={version} version={version} isChampion={aliases.includes(champion)} change={change} />,
    run_id ? <a href={link(["runs", run_id])}>{run_id.slice(0, 8)}</a> : "",
    current_stage,
    time(creation_timestamp),
    description ?? "",
  ];
}

function Promotion({ version, isChampion, change }: { version: string; isChampion: boolean; change: Change }) {
  const [alias, setAlias] = useState("");
  const set = (name: string) => change("POST", "registered-models/alias", { alias: name, version });
  return (
    <form
      class="bar"
      onSubmit={(event) => {
        event.preventDefault();
        if (alias.trim() === "") return;
        set(alias.trim());
        setAlias("");
      }}
    >
      <button
        type="button"
        class={isChampion ? undefined : "primary"}
        disabled={isChampion}
        onClick={() => set(champion)}
      >
        {isChampion ? "Champion" : "Promote to champion"}
      </button>
      <input
        type="text"
        size={10}
        placeholder="alias"
        aria-label={`New alias of version ${version}`}
        value={alias}
        onInput={(event) => setAlias(event.currentTarget.value)}
      />
      <button type="submit">Set</button>
    </form>
  );
}
