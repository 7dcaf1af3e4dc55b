import type { BundleQuantization } from "../../experiments/bundle-quantization.ts";
import { count, percent } from "./format.ts";
import { table } from "./terminal.ts";

/** Both models side by side, and what that means for serving. */
export function quantizationReport(result: BundleQuantization): string[] {
  const { form, times, modelPath, servedByDefault } = result;
  const { validation, test } = form.accuracy;
  const { floatLayers, calibration, weightBits } = form;
  const ms = (value: number): string => `${value.toFixed(2)} ms`;
  return [
    `8-bit form with ${weightBits}-bit weights, calibrated by ${calibration.method} on ${count(calibration.images)} images`,
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
    `model ${modelPath}`,
  ];
}
