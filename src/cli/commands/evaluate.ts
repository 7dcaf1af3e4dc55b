import { type Command, Option } from "commander";
import { expandHome } from "../../base/home-path.ts";
import type { Config } from "../../config/schema.ts";
import { evaluateBundle } from "../../experiments/evaluate-bundle.ts";
import type { Evaluation } from "../../experiments/events.ts";
import type { Bundle } from "../../inference/bundle.ts";
import type { FormChoice } from "../../inference/forms/choose-forms.ts";
import { type FormName, formNames } from "../../inference/forms/form-plan.ts";
import { bundleConfig } from "../bundle-config.ts";
import { chooseBundle } from "../choose-bundle.ts";
import { addConfigOptions, addOutputOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { dataDisplay } from "../display/progress.ts";
import { note, print, printJson, type Terminal } from "../display/terminal.ts";
import { evaluationReport, syntheticNotice } from "../display/training-display.ts";
import { exitCodes } from "../failure.ts";
import { onInterrupt } from "../interrupt.ts";
import { servedForms } from "../served-forms.ts";

interface EvaluateArguments extends ConfigArguments {
  readonly model?: string;
  readonly split: Evaluation["split"];
  readonly form: FormChoice;
  readonly tta?: boolean;
  readonly json?: boolean;
}

export function addEvaluateCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("evaluate")
    .description("measure a model bundle on test or validation images")
    .option("--model <bundle>", "bundle folder, or its name (default: the newest)", expandHome)
    .addOption(new Option("--split <part>", "which images").choices(["test", "val"]).default("test"))
    .addOption(
      new Option("--form <form>", "which form of the network; auto: the one that would serve full batches")
        .choices(["auto", ...formNames])
        .default("auto"),
    )
    .option("--tta", "with test-time augmentation too: evaluation.tta, or mirror_shift where that is none");
  addOutputOptions(addConfigOptions(command)).action(async (options: EvaluateArguments) => {
    const bundle = await chooseBundle(terminal, loadArguments(terminal, options).config, options.model);
    const config = bundleConfig(terminal, bundle, options);
    const configured = config.evaluation.tta;
    const tta = options.tta === true ? (configured === "none" ? "mirror_shift" : configured) : "none";
    using interrupt = onInterrupt(terminal, "");
    const display = dataDisplay(terminal);
    try {
      const { onProgress } = display;
      const { signal } = interrupt;
      const form = options.form === "auto" ? await servedForm(terminal, bundle, config) : options.form;
      const result = await evaluateBundle({ bundle, config, split: options.split, tta, form }, { signal, onProgress });
      display.stop();
      const { evaluation, synthetic, dataset, sameData } = result;
      const { name } = bundle.metadata;
      if (!sameData) note(terminal, `warning: these are not the images that ${name} was trained with`);
      if (options.json === true) {
        printJson(terminal, { model: name, form, synthetic, dataset, sameData, ...evaluation });
        return;
      }
      if (synthetic) print(terminal, syntheticNotice);
      print(terminal, `model ${name} (form ${form}), data ${dataset.name} (${dataset.origin})`);
      for (const line of evaluationReport(evaluation, synthetic)) print(terminal, line);
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
      terminal.status.code = exitCodes.interrupted;
    } finally {
      display.stop();
    }
  });
}

async function servedForm(terminal: Terminal, bundle: Bundle, config: Config): Promise<FormName> {
  const { plan } = await servedForms(terminal, bundle, config);
  return plan.variants[plan.byCount.at(-1) ?? 0]!.form;
}
