import { call } from "./api.js";
import { empty, h, table } from "./dom.js";
import { time } from "./format.js";

/** The registry: models, or the versions of one. */
export async function modelsView({ place, id, report }) {
  if (id === undefined) {
    const { registered_models: models = [] } = await call("GET", "registered-models/search", { max_results: 1000 });
    place.append(h("h1", {}, "Registered models"));
    if (models.length === 0) {
      place.append(
        empty(
          "No models are registered",
          "A training registers its model when it is asked to:",
          h("code", {}, `cifar train --set mlflow.tracking_uri=${location.origin} --set mlflow.register_model=true`),
        ),
      );
      return;
    }
    place.append(
      table(
        ["Model", "Latest version", "Aliases", "Changed"],
        models.map((model) => [
          h("a", { href: `#/models/${encodeURIComponent(model.name)}` }, model.name),
          Math.max(0, ...(model.latest_versions ?? []).map(({ version }) => Number(version))) || "",
          (model.aliases ?? []).map(({ alias, version }) => h("span", { class: "badge" }, `${alias} → ${version}`)),
          time(model.last_updated_timestamp),
        ]),
      ),
    );
    return;
  }
  const show = async () => {
    const { registered_model: model } = await call("GET", "registered-models/get", { name: id });
    const filter = `name = "${id}"`;
    const { model_versions: versions = [] } = await call("GET", "model-versions/search", {
      filter,
      max_results: 1000,
      order_by: "version_number DESC",
    });
    const aliases = new Map((model.aliases ?? []).map(({ alias, version }) => [alias, version]));
    const act = (work) => async () => {
      try {
        await work();
        await show();
      } catch (error) {
        report(error);
      }
    };
    const row = (version) => {
      const own = [...aliases]
        .filter(([, target]) => String(target) === String(version.version))
        .map(([alias]) => alias);
      const input = h("input", {
        type: "text",
        placeholder: "alias",
        "aria-label": `New alias of version ${version.version}`,
        size: "10",
      });
      return [
        `Version ${version.version}`,
        h(
          "div",
          {},
          own.map((alias) =>
            h(
              "span",
              { class: "badge" },
              alias,
              " ",
              h(
                "button",
                {
                  type: "button",
                  "aria-label": `Remove alias ${alias}`,
                  onclick: act(() => call("DELETE", "registered-models/alias", { name: id, alias })),
                },
                "×",
              ),
            ),
          ),
        ),
        h(
          "div",
          { class: "bar" },
          h(
            "button",
            {
              type: "button",
              class: own.includes("champion") ? undefined : "primary",
              disabled: own.includes("champion"),
              onclick: act(() =>
                call("POST", "registered-models/alias", { name: id, alias: "champion", version: version.version }),
              ),
            },
            own.includes("champion") ? "Champion" : "Promote to champion",
          ),
          input,
          h(
            "button",
            {
              type: "button",
              onclick: act(() =>
                call("POST", "registered-models/alias", {
                  name: id,
                  alias: input.value.trim(),
                  version: version.version,
                }),
              ),
            },
            "Set",
          ),
        ),
        version.run_id ? h("a", { href: `#/runs/${version.run_id}` }, version.run_id.slice(0, 8)) : "",
        version.current_stage ?? "None",
        time(version.creation_timestamp),
        version.description ?? "",
      ];
    };
    place.replaceChildren(
      h("p", {}, h("a", { href: "#/models" }, "Registered models")),
      h("h1", {}, id),
      model.description ? h("p", {}, model.description) : "",
      versions.length === 0
        ? empty("No versions", "Register one with mlflow.register_model=true.")
        : table(["Version", "Aliases", "Promote", "Run", "Stage", "Created", "Description"], versions.map(row)),
      h(
        "p",
        { class: "muted" },
        "Load it in Python: ",
        h("code", {}, `mlflow.pyfunc.load_model("models:/${id}@champion")`),
      ),
    );
  };
  await show();
}
