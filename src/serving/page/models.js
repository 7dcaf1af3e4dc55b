// The model's card, and the choice among models that are loaded.
import { call, readHealth } from "./api.js";
import { byId, element, fact, megabytes, percent } from "./view.js";

const view = {
  card: byId("model"),
  limits: byId("model-limits"),
  choice: byId("model-choice"),
  select: byId("model-select"),
  notice: byId("synthetic-notice"),
  sizeLimit: byId("size-limit"),
  links: byId("links"),
};

/** What the rest of the page needs to know. */
export const serving = { maxBytes: Number.POSITIVE_INFINITY, classes: [], model: undefined };

function accuracyText(model) {
  if (model.test_accuracy !== null) return `${percent(model.test_accuracy)} (test images)`;
  if (model.validation_accuracy !== null) return `${percent(model.validation_accuracy)} (validation images)`;
  return "not measured";
}

const troubles = {
  degraded: ["A part of the inference workers fails: answers may be slow."],
  down: ["The model cannot answer at the moment."],
};

async function showModel(model, health) {
  const { classes } = await call(`/classes?model=${encodeURIComponent(model.name)}`);
  serving.classes = classes;
  serving.model = model.active ? undefined : model.name;
  const isSynthetic = model.synthetic_data && !model.dataset.includes("synthetic");
  const live =
    model.active && health.live_accuracy !== null ? [fact("Right in use", percent(health.live_accuracy))] : [];
  const trouble = model.active ? (troubles[health.status] ?? []) : [];
  view.card.replaceChildren(
    ...trouble.map((text) => fact("Status", text, true)),
    fact("Name", model.name, true),
    fact("Architecture", model.architecture),
    fact("Accuracy", accuracyText(model)),
    ...live,
    fact("Parameters", model.parameter_count.toLocaleString("en")),
    fact("Trained on", isSynthetic ? `${model.dataset} (synthetic)` : model.dataset),
    fact("Trained", new Date(model.created_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })),
    fact("Input", `${model.input_size[1]} × ${model.input_size[0]} pixels`),
    fact(
      `Classes (${classes.length})`,
      classes.length > 20 ? `${classes.slice(0, 20).join(", ")}, …` : classes.join(", "),
      true,
    ),
  );
  view.limits.textContent =
    `It sees every picture at ${model.input_size[1]} × ${model.input_size[0]} pixels and knows these classes only: ` +
    "it will name one of them for anything else too.";
  view.limits.hidden = false;
  view.notice.hidden = !model.synthetic_data;
  if (model.synthetic_data) {
    view.notice.textContent =
      "This model was trained on synthetic (generated) drawings, not on photographs: its answers to real images mean nothing.";
  }
}

const linkNames = { tracking: "Tracking", grafana: "Grafana" };

/** @param onChange is told when another model was chosen */
export async function installModels(onChange) {
  try {
    const [health, listing] = await Promise.all([readHealth(), call("/models")]);
    serving.maxBytes = health.max_upload_bytes;
    view.sizeLimit.textContent = `, up to ${megabytes(serving.maxBytes)}`;
    for (const [key, url] of Object.entries(listing.links)) {
      view.links.append(element("a", { href: url, textContent: linkNames[key] }));
    }
    const active = listing.models.find((model) => model.active);
    view.select.replaceChildren(
      ...listing.models.map((model) =>
        element("option", {
          value: model.name,
          textContent: model.loaded ? model.name : `${model.name} (not loaded)`,
          disabled: !model.loaded,
          selected: model.active,
        }),
      ),
    );
    view.choice.hidden = listing.models.length < 2;
    view.select.addEventListener("change", async () => {
      await showModel(
        listing.models.find((model) => model.name === view.select.value),
        health,
      );
      onChange();
    });
    await showModel(active, health);
  } catch {
    view.card.replaceChildren(fact("Status", "The model's details can't be read. Is the server running?", true));
  }
}
