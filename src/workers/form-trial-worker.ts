// Worker thread that tries the forms of one network against each other, says what came of it and ends.
import { parentPort, workerData } from "node:worker_threads";
import { loadForm } from "../backends/onnx/load-form.ts";
import { usableWeightBits } from "../backends/onnx/quantized/weight-bits.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import type { FormVariant } from "../inference/forms/form-plan.ts";
import { type FormRunner, formRunner } from "../inference/forms/form-runner.ts";
import { tryForms } from "../inference/forms/form-trial.ts";
import type { FormTrialData, FormTrialReply } from "../inference/worker-protocol.ts";
import { tensor } from "../tensor/tensor.ts";

if (parentPort === null) throw new PipelineError("INVALID_ARGUMENT", "form-trial-worker runs as a worker thread only");
const port = parentPort;
const data = workerData as FormTrialData;
const { height, width } = data.preprocessing;
/** A large network takes seconds for each form: after this time no more of them are made. */
const loadingMs = 15_000;
const reply = (message: FormTrialReply): void => port.postMessage(message);

async function start(): Promise<void> {
  const runners: FormRunner[] = [];
  const missing: { variant: FormVariant; reason: string }[] = [];
  const started = performance.now();
  for (const variant of data.variants) {
    if (variant.form === "machine" && performance.now() - started > loadingMs) {
      missing.push({ variant, reason: "the others took long to load" });
      continue;
    }
    if (variant.form === "int8" && data.weightBits > (await usableWeightBits())) {
      missing.push({ variant, reason: "its weights have 8 bits, which overflow on this processor: quantise it here" });
      continue;
    }
    try {
      runners.push(formRunner(await loadForm(variant, data.files, { threads: data.threads }), variant, data));
    } catch (error) {
      // Only model.onnx has to work everywhere.
      if (!isPipelineError(error) || variant.form === "portable") throw error;
      missing.push({ variant, reason: error.message });
    }
  }
  const sample = tensor("uint8", [data.sample.length / (3 * height * width), 3, height, width], data.sample);
  const trial = await tryForms({ ...data, runners, sample });
  reply({ type: "tried", ...trial, refused: [...missing, ...trial.refused] });
  for (const runner of runners) await runner[Symbol.asyncDispose]();
}

start().catch((error: unknown) =>
  reply({ type: "failed", message: error instanceof Error ? error.message : String(error) }),
);
