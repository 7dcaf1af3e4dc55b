import { type Command, InvalidArgumentError, Option } from "commander";
import { expandHome } from "../../base/home-path.ts";
import { defaultCalibrationImages, quantizeBundle } from "../../experiments/quantize-bundle.ts";
import type { QuantizeStage } from "../../quantization/quantize.ts";
import { type CalibrationMethod, calibrationMethods } from "../../quantization/range.ts";
import { bundleConfig } from "../bundle-config.ts";
import { chooseBundle } from "../choose-bundle.ts";
import { addConfigOptions, addOutputOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { count } from "../display/format.ts";
import { dataDisplay, type Progress, startProgress } from "../display/progress.ts";
import { quantizationReport } from "../display/quantization-report.ts";
import { print, printJson, type Terminal } from "../display/terminal.ts";
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
    .option("--images <n>", "training images to calibrate with", imageCount, defaultCalibrationImages);
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
      for (const line of [`model ${model}`, ...quantizationReport(result)]) print(terminal, line);
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
