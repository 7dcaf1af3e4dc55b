import type { Evaluation, ExperimentEvent } from "../../experiments/events.ts";
import { asTyped } from "../invocation.ts";
import { count, duration, figure, percent, short } from "./format.ts";
import { dataDisplay, type Progress, startProgress } from "./progress.ts";
import { quantizationReport } from "./quantization-report.ts";
import { note, print, type Terminal, table } from "./terminal.ts";

export interface TrainingDisplay {
  onEvent(event: ExperimentEvent): void;
  stop(): void;
}

export const syntheticNotice = "SYNTHETIC data (generated drawings, no photographs): figures say nothing about CIFAR";

type Start = Extract<ExperimentEvent, { type: "start" }>;

/** Shows an experiment to people: a bar for the running epoch, a line for each epoch that is done. */
export function trainingDisplay(terminal: Terminal, now: () => number = () => performance.now()): TrainingDisplay {
  const data = dataDisplay(terminal);
  let bar: Progress | undefined;
  let start: Start | undefined;
  let synthetic = false;
  let began = { at: 0, step: 0 };
  let smoothRate = 0;
  const mark = (): string => (synthetic ? "  [SYNTHETIC]" : "");
  const stop = (): void => {
    data.stop();
    bar?.stop();
    bar = undefined;
  };

  const onStep = (event: Extract<ExperimentEvent, { type: "step" }>): void => {
    if (start === undefined) return;
    const { epochs, stepsPerEpoch } = start;
    smoothRate = smoothRate === 0 ? event.imagesPerSecond : 0.9 * smoothRate + 0.1 * event.imagesPerSecond;
    const seconds = (now() - began.at) / 1000;
    const left = ((epochs * stepsPerEpoch - event.globalStep) * seconds) / Math.max(1, event.globalStep - began.step);
    bar ??= startProgress(terminal, `epoch ${event.epoch}/${epochs}`);
    bar.update(
      event.step,
      stepsPerEpoch,
      `step ${event.step}/${stepsPerEpoch}  loss ${event.loss.toFixed(3)}  accuracy ${percent(event.accuracy)}  ` +
        `${count(smoothRate)} images/s  lr ${figure(event.learningRate)}  ${duration(left)} left`,
    );
  };

  return {
    stop,
    onEvent(event) {
      switch (event.type) {
        case "run":
          print(terminal, `run ${event.runId}${event.resumed ? " (resumed)" : ""} in ${event.directory}`);
          break;
        case "data":
          data.onProgress(event);
          break;
        case "dataset": {
          data.stop();
          synthetic = event.synthetic;
          if (synthetic) print(terminal, syntheticNotice);
          const { trainImages, validationImages, testImages } = event;
          print(
            terminal,
            `data ${event.name} (${event.origin}): ${count(trainImages)} training, ${count(validationImages)} ` +
              `validation and ${count(testImages)} test images of ${event.classes.length} classes`,
          );
          break;
        }
        case "weights": {
          data.stop();
          const fresh = event.replaced.length === 0 ? "" : `; new: ${event.replaced.join(", ")}`;
          print(terminal, `weights ${event.path}: ${count(event.loaded)} tensors${fresh}`);
          break;
        }
        case "start":
          data.stop();
          start = event;
          began = { at: now(), step: event.resumedFromStep };
          print(
            terminal,
            `model ${event.model}: ${short(event.parameterCount)} parameters, ${short(event.flopsPerImage)}FLOP per ` +
              `training image, on ${event.device}`,
          );
          if (event.resumedFromStep > 0) print(terminal, `going on after step ${event.resumedFromStep}`);
          break;
        case "step":
          onStep(event);
          break;
        case "epoch": {
          stop();
          const { validation } = event;
          const checked =
            validation === undefined
              ? ""
              : `  validation loss ${validation.loss.toFixed(3)} accuracy ${percent(validation.accuracy)}`;
          print(
            terminal,
            `epoch ${event.epoch}/${start?.epochs ?? "?"}  loss ${event.trainLoss.toFixed(3)} accuracy ` +
              `${percent(event.trainAccuracy)}${checked}  ${count(event.imagesPerSecond)} images/s  ` +
              `${duration(event.seconds)}${event.isBest ? "  best" : ""}${mark()}`,
          );
          break;
        }
        case "checkpoint":
          break;
        case "stop":
          stop();
          if (event.reason === "early-stopping") print(terminal, "stopped early: the validation loss no longer falls");
          break;
        case "evaluation":
          for (const line of evaluationReport(event, event.synthetic)) print(terminal, line);
          break;
        case "bundle":
          print(terminal, `model bundle ${event.directory}${mark()}`);
          break;
        case "quantization":
          for (const line of quantizationReport(event)) print(terminal, line);
          break;
        case "warning":
          stop();
          note(terminal, asTyped(`warning: ${event.message}`));
          break;
        default:
          event satisfies never;
      }
    },
  };
}

/** An evaluation in lines: headline figures and the report of each class. */
export function evaluationReport(evaluation: Evaluation, synthetic: boolean): string[] {
  const { metrics, withTta, images, split, calibrationError, temperature, seconds } = evaluation;
  const part = split === "test" ? "test" : "validation";
  const shown = metrics.perClass.slice(0, 20);
  return [
    `${part} accuracy ${percent(metrics.accuracy)}${synthetic ? "  [SYNTHETIC]" : ""} on ${count(images)} images, ` +
      `loss ${metrics.loss.toFixed(4)}, macro F1 ${percent(metrics.macroF1)} (${duration(seconds)})`,
    ...(withTta === undefined
      ? []
      : [
          `${part} accuracy ${percent(withTta.metrics.accuracy)}${synthetic ? "  [SYNTHETIC]" : ""} with test-time ` +
            `augmentation ${withTta.tta}`,
        ]),
    `calibration error ${percent(calibrationError)} at temperature ${figure(temperature)}`,
    ...table([
      ["  class", "precision", "recall", "F1", "images"],
      ...shown.map(({ label, precision, recall, f1, support }) => [
        `  ${label}`,
        percent(precision),
        percent(recall),
        percent(f1),
        count(support),
      ]),
    ]),
    ...(shown.length < metrics.perClass.length ? [`  … and ${metrics.perClass.length - shown.length} more`] : []),
  ];
}
