import { type Command, Option } from "commander";
import { expandHome } from "../../base/home-path.ts";
import { loadConfig } from "../../config/load.ts";
import { formatOverride } from "../../config/override.ts";
import type { Config } from "../../config/schema.ts";
import { evaluateBundle } from "../../experiments/evaluate-bundle.ts";
import type { Evaluation } from "../../experiments/events.ts";
import type { Bundle } from "../../inference/bundle.ts";
import { chooseBundle } from "../choose-bundle.ts";
import { addConfigOptions, addOutputOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { dataDisplay } from "../display/progress.ts";
import { note, print, printJson, type Terminal } from "../display/terminal.ts";
import { evaluationReport, syntheticNotice } from "../display/training-display.ts";
import { exitCodes } from "../failure.ts";
import { onInterrupt } from "../interrupt.ts";

interface EvaluateArguments extends ConfigArguments {
  readonly model?: string;
  readonly split: Evaluation["split"];
  readonly tta?: boolean;
  readonly json?: boolean;
}

export function addEvaluateCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("evaluate")
    .description("measure a model bundle on test or validation images")
    .option("--model <bundle>", "bundle folder, or its name (default: the newest)", expandHome)
    .addOption(new Option("--split <part>", "which images").choices(["test", "val"]).default("test"))
    .option("--tta", "with test-time augmentation too: evaluation.tta, or mirror_shift where that is none");
  addOutputOptions(addConfigOptions(command)).action(async (options: EvaluateArguments) => {
    const bundle = await chooseBundle(terminal, loadArguments(terminal, options).config, options.model);
    const config = evaluationConfig(terminal, bundle, options);
    const configured = config.evaluation.tta;
    const tta = options.tta === true ? (configured === "none" ? "mirror_shift" : configured) : "none";
    using interrupt = onInterrupt(terminal, "");
    const display = dataDisplay(terminal);
    try {
      const { onProgress } = display;
      const { signal } = interrupt;
      const result = await evaluateBundle({ bundle, config, split: options.split, tta }, { signal, onProgress });
      display.stop();
      const { evaluation, synthetic, dataset, sameData } = result;
      const { name } = bundle.metadata;
      if (!sameData) note(terminal, `warning: these are not the images that ${name} was trained with`);
      if (options.json === true) {
        printJson(terminal, { model: name, synthetic, dataset, sameData, ...evaluation });
        return;
      }
      if (synthetic) print(terminal, syntheticNotice);
      print(terminal, `model ${name}, data ${dataset.name} (${dataset.origin})`);
      for (const line of evaluationReport(evaluation, synthetic)) print(terminal, line);
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
      terminal.status.code = exitCodes.interrupted;
    } finally {
      display.stop();
    }
  });
}

/**
 * The configuration of the bundle's training, so that the same images are held out, with what is given on the command
 * line on top. Where CIFAR_SOURCE tells of real data, a model of real data takes them from there.
 */
function evaluationConfig({ env }: Terminal, { metadata }: Bundle, { config, preset, set }: EvaluateArguments): Config {
  const source = env.CIFAR_SOURCE ?? "";
  const moved = source === "" || metadata.dataset.synthetic ? [] : [`dataset.source=${source}`];
  const trained = Object.entries(metadata.training.config).map(([name, value]) => formatOverride(name, value));
  if (config === undefined && preset === undefined) {
    return loadConfig({ env: {}, overrides: [...trained, ...moved, ...set] }).config;
  }
  // A file or preset may say where data are and how to evaluate; the model stays what it is.
  const base = loadConfig({ env: {}, overrides: trained }).config;
  const { dataset, evaluation } = loadConfig({
    env,
    overrides: set,
    ...(config === undefined ? {} : { file: config }),
    ...(preset === undefined ? {} : { preset }),
  }).config;
  const { source: from, data_dir } = dataset;
  return { ...base, dataset: { ...base.dataset, source: from, data_dir }, evaluation };
}
