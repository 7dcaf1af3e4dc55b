import { type Command, InvalidArgumentError, Option } from "commander";
import { expandHome } from "../../base/home-path.ts";
import { type BundleQuantization, quantizeBundle } from "../../experiments/quantize-bundle.ts";
import type { QuantizeStage } from "../../quantization/quantize.ts";
import { type CalibrationMethod, calibrationMethods } from "../../quantization/range.ts";
import { bundleConfig } from "../bundle-config.ts";
import { chooseBundle } from "../choose-bundle.ts";
import { addConfigOptions, addOutputOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { count, percent } from "../display/format.ts";
import { dataDisplay, type Progress, startProgress } from "../display/progress.ts";
import { print, printJson, type Terminal, table } from "../display/terminal.ts";
import { syntheticNotice } from "../display/training-display.ts";
import { exitCodes } from "../failure.ts";
import { onInterrupt } from "../interrupt.ts";

interface QuantizeArguments extends ConfigArguments {
  readonly calibration: CalibrationMethod;
  readonly images: number;
  readonly json?: boolean;
}

const stages: Record<QuantizeStage, string> = {
  calibrate: "calibrating",
  measure: "measuring",
  sensitivity: "measuring each layer",
  search: "leaving layers in float",
};

export function addQuantizeCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("quantize")
    .description("give a model bundle an 8-bit form, and measure both")
    .argument("[bundle]", "bundle folder, or its name (default: the newest)", expandHome)
    .addOption(
      new Option("--calibration <method>", "how the range of an activation is found")
        .choices(calibrationMethods)
        .default("minmax"),
    )
    .option("--images <n>", "training images to calibrate with", imageCount, 1000);
  addOutputOptions(addConfigOptions(command)).action(async (name: string | undefined, options: QuantizeArguments) => {
    const bundle = await chooseBundle(terminal, loadArguments(terminal, options).config, name);
    const config = bundleConfig(terminal, bundle, options);
    using interrupt = onInterrupt(terminal, "");
    const display = dataDisplay(terminal);
    const progress = stageDisplay(terminal);
    try {
      const { signal } = interrupt;
      const { onProgress } = display;
      const onStage: typeof progress.onStage = (...at) => {
        display.stop();
        progress.onStage(...at);
      };
      const request = { bundle, config, method: options.calibration, images: options.images };
      const result = await quantizeBundle(request, { signal, onProgress, onStage });
      progress.stop();
      const model = bundle.metadata.name;
      if (options.json === true) {
        printJson(terminal, { model, ...result });
        return;
      }
      if (result.synthetic) print(terminal, syntheticNotice);
      for (const line of quantizationReport(model, result)) print(terminal, line);
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
      terminal.status.code = exitCodes.interrupted;
    } finally {
      display.stop();
      progress.stop();
    }
  });
}

function imageCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1_000_000) {
    throw new InvalidArgumentError("a whole number from 1 to 1000000 is wanted.");
  }
  return value;
}

function stageDisplay(terminal: Terminal) {
  let current: { readonly stage: QuantizeStage; readonly progress: Progress } | undefined;
  const stop = (): void => {
    current?.progress.stop();
    current = undefined;
  };
  return {
    stop,
    onStage(stage: QuantizeStage, done: number, total: number): void {
      if (current?.stage !== stage) {
        stop();
        current = { stage, progress: startProgress(terminal, stages[stage]) };
      }
      current.progress.update(done, total, total === 1 ? "" : `${count(done)} of ${count(total)}`);
    },
  };
}

/** Both models side by side, and what that means for serving. */
function quantizationReport(model: string, result: BundleQuantization): string[] {
  const { form, times, modelPath, servedByDefault } = result;
  const { validation, test } = form.accuracy;
  const { floatLayers, calibration, weightBits } = form;
  const ms = (value: number): string => `${value.toFixed(2)} ms`;
  return [
    `model ${model}, ${weightBits}-bit weights, calibrated by ${calibration.method} on ${count(calibration.images)} images`,
    ...table([
      ["", "float", "int8"],
      ...(validation === undefined
        ? []
        : [["validation accuracy", percent(validation.float), percent(validation.form)]]),
      ["test accuracy", percent(test.float), percent(test.form)],
      ["an image alone", ms(times.float.alone), ms(times.form.alone)],
      ["an image in batches of 16", ms(times.float.inBatches), ms(times.form.inBatches)],
    ]),
    `same class on ${percent(form.agreement)} of ${count(test.images)} test images, calibration error ` +
      `${percent(form.calibrationError)}`,
    `layers left in float: ${floatLayers.length === 0 ? "none" : floatLayers.join(", ")}`,
    servedByDefault
      ? "as accurate and faster here: it would be served by default"
      : "less accurate, or not faster here: the float model would be served by default",
    `8-bit form ${modelPath}`,
  ];
}
