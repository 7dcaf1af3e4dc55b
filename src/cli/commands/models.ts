import type { Command } from "commander";
import { loadConfig } from "../../config/load.ts";
import { configuredModel } from "../../experiments/configured-model.ts";
import { modelsDirectory } from "../../experiments/run-folder.ts";
import { type Bundle, listBundles } from "../../inference/bundle.ts";
import { type Model, parameterCount } from "../../models/model.ts";
import { models } from "../../models/registry.ts";
import { publishedWeights } from "../../weights/published.ts";
import { addConfigOptions, addOutputOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { count, percent } from "../display/format.ts";
import { note, print, printJson, type Terminal, table } from "../display/terminal.ts";
import { invocation } from "../invocation.ts";

interface ModelsArguments extends ConfigArguments {
  readonly bundles?: boolean;
  readonly json?: boolean;
}

/** Parameter counts are for so many classes. */
const classes = 10;

export function addModelsCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("models")
    .description("list the architectures, or with --bundles the trained models")
    .option("--bundles", "list the model bundles that are here");
  addOutputOptions(addConfigOptions(command)).action(async (options: ModelsArguments) => {
    const { config } = loadArguments(terminal, options);
    if (options.bundles === true) return showBundles(terminal, modelsDirectory(config), options);
    const rows = architectures();
    if (options.json === true) return printJson(terminal, { classes, models: rows });
    const cells = rows.map(({ name, family, parameters, input_size: size, weights }) => [
      ...[name, family, count(parameters), `${size} x ${size}`, weights ?? "none"],
    ]);
    for (const line of table([["name", "family", `parameters (${classes} classes)`, "input", "weights"], ...cells]))
      print(terminal, line);
  });
}

function architectures() {
  return Object.values(models).map(({ name, family, inputSize }) => {
    const { config } = loadConfig({ env: {}, overrides: [`model.name=${name}`] });
    const model: Model = configuredModel(config, { classes, height: inputSize, width: inputSize });
    const weights = publishedWeights(name) === undefined ? null : "imagenet";
    return { name, family, parameters: parameterCount(model), input_size: inputSize, weights };
  });
}

async function showBundles(terminal: Terminal, root: string, options: ModelsArguments): Promise<void> {
  const { bundles, damaged } = await listBundles(root);
  if (options.json === true) {
    const broken = damaged.map(({ directory, error }) => ({ directory, code: error.code, message: error.message }));
    return printJson(terminal, { root, bundles: bundles.map(bundleFields), damaged: broken });
  }
  if (bundles.length === 0 && damaged.length === 0)
    print(terminal, `no model bundle in ${root}; train one with \`${invocation()} train\``);
  const rows = bundles.map(({ metadata: { name, createdAt, metrics, dataset } }) => [
    name,
    createdAt.slice(0, 16).replace("T", " "),
    `${dataset.name}${dataset.synthetic ? " [SYNTHETIC]" : ""}`,
    metrics.test === undefined ? "?" : percent(metrics.test.accuracy),
    metrics.test?.accuracyWithTta === undefined ? "" : percent(metrics.test.accuracyWithTta),
  ]);
  if (rows.length > 0)
    for (const line of table([["name", "made (UTC)", "data", "test accuracy", "with TTA"], ...rows]))
      print(terminal, line);
  for (const { error } of damaged) note(terminal, `damaged: ${error.message}`);
}

function bundleFields({ directory, metadata }: Bundle) {
  const { name, createdAt, model, dataset, metrics } = metadata;
  const { architecture, parameterCount: parameters } = model;
  return { name, directory, created_at: createdAt, architecture, parameters, dataset, metrics };
}
