import { configKeys, configSections } from "./keys.ts";
import { presetNames } from "./presets.ts";
import { quoteValue } from "./problem.ts";
import { limitedKeys } from "./supported.ts";

/** docs/configuration.md: every key with what it takes, its default and its meaning. */
export function renderConfigurationReference(): string {
  const sections = configSections.map(({ name, description }) => {
    const keys = configKeys.filter(({ section }) => section === name);
    const rows = keys.map(({ key, expected, defaultValue, description: meaning }) => {
      const limit = limitedKeys.get(key);
      const cells = [
        `\`${key.slice(name.length + 1)}\``,
        expected,
        `\`${quoteDefault(key, defaultValue)}\``,
        limit === undefined ? meaning : `${meaning} Now: ${limit}.`,
      ];
      return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
    });
    const table = rows.length === 0 ? [] : ["", "| key | takes | default | meaning |", "|---|---|---|---|", ...rows];
    return [`## ${name}`, "", description, ...table].join("\n");
  });
  return `${[
    "# Configuration",
    "",
    "<!-- Generated from the schema in src/config by scripts/generate-docs.mjs: do not edit. -->",
    "",
    "Keys are given in `config/config.yaml` or with `--set section.key=value`; each later source wins over those before " +
      "it: defaults, the environment variables `CIFAR_SOURCE` (for `dataset.source`) and `MLFLOW_EXPERIMENT_NAME` (for " +
      "`mlflow.experiment_name`), file, `--preset`, `--set`. " +
      `Presets: ${presetNames.map((name) => `\`${name}\``).join(", ")}. Unknown keys and wrong values are errors.`,
    "",
    sections.join("\n\n"),
  ].join("\n")}\n`;
}

function quoteDefault(key: string, value: unknown): string {
  if (key === "model.airbench.logit_scale") return "1/9";
  return typeof value === "object" && value !== null ? JSON.stringify(value) : quoteValue(value);
}
