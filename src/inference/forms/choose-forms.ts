import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { z } from "zod";
import { ignoreMissing, replaceFile } from "../../base/durable.ts";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { workerUrl } from "../../base/worker-url.ts";
import type { Bundle } from "../bundle.ts";
import type { BundleForm } from "../bundle-form.ts";
import { sampleImages } from "../sample-images.ts";
import type { FormTrialData, FormTrialReply } from "../worker-protocol.ts";
import { type FormName, type FormPlan, type FormVariant, formNames, planOf, portablePlan } from "./form-plan.ts";
import type { FormTrial } from "./form-trial.ts";

/** auto: what is quickest here. */
export type FormChoice = FormName | "auto";

export interface ChooseFormsOptions {
  readonly bundle: Bundle;
  /** The quantised form, where the bundle has one. */
  readonly int8?: BundleForm | undefined;
  readonly choice: FormChoice;
  readonly threads: number;
  readonly maxBatchSize: number;
  /** Of the program: another one may lower a network otherwise. */
  readonly version: string;
  /** Told of each form that is not used although it was asked for or could be. */
  readonly warn: (message: string) => void;
}

export interface ChosenForms {
  readonly plan: FormPlan;
  /** What was measured, unless it was known or there was nothing to measure. */
  readonly trial: FormTrial | undefined;
}

/** A quantised model serves by itself where it loses at most this much of the accuracy on validation images. */
const mostLoss = 0.002;
/**
 * Images of a run of this processor's kernels, which work on whole blocks of 8 or 16 of them. Where no other form may take
 * it, a lone image is not worth a run of eight.
 */
const machineSizes: Readonly<Record<FormChoice, readonly number[]>> = {
  auto: [8, 16],
  machine: [1, 8, 16],
  portable: [],
  int8: [],
};
/** The sample is small: so much less agreement than on the whole test set may be chance. */
const agreementSlack = 0.1;
const trialTimeoutMs = 120_000;
const choiceFile = "forms-chosen.json";

/** Choices that are kept for one bundle: machines and settings that share its folder. */
const mostChoices = 16;

const choicesSchema = z.array(
  z.object({
    key: z.string(),
    plan: z.object({
      variants: z.array(z.object({ form: z.enum(formNames), size: z.int().min(1).optional() })).min(1),
      byCount: z.array(z.int().min(0)),
    }),
  }),
);
type Choice = z.output<typeof choicesSchema>[number];

/**
 * Chooses the forms that serve a bundle, by measurement; what was chosen is kept beside the bundle, for this processor and
 * these settings. Where nothing could be measured model.onnx serves.
 * @throws INVALID_ARGUMENT and MODEL_REFUSED when a form was asked for that is not there or can't be used here
 */
export async function chooseForms(options: ChooseFormsOptions): Promise<ChosenForms> {
  const { bundle, choice } = options;
  const variants = candidates(options);
  if (variants.length === 1) return { plan: portablePlan, trial: undefined };
  const key = keyOf(options);
  const file = join(bundle.directory, choiceFile);
  const choices = await readChoices(file);
  const known = choices.find((each) => each.key === key);
  if (known !== undefined) return { plan: known.plan, trial: undefined };
  const trial = await tried(options, variants);
  if (trial === undefined && choice === "auto") return { plan: portablePlan, trial };
  if (trial === undefined) throw unusable(options);
  for (const { variant, reason } of trial.refused) {
    options.warn(`the form ${nameOf(variant)} of ${bundle.metadata.name} is not used: ${reason}`);
  }
  const costs = choice === "auto" ? trial.costs : trial.costs.filter(({ form }) => form === choice);
  if (costs.length === 0) throw unusable(options);
  const plan = planOf(costs, options.maxBatchSize);
  const kept = [{ key, plan }, ...choices].slice(0, mostChoices);
  await replaceFile(file, `[\n${kept.map((each) => JSON.stringify(each)).join(",\n")}\n]\n`).catch((error: unknown) => {
    // On a disk that is full or read-only the next start measures again.
    if (!isPipelineError(error, "STORAGE_FAILED")) throw error;
  });
  return { plan, trial };
}

function candidates({ choice, int8, bundle, maxBatchSize, warn }: ChooseFormsOptions): FormVariant[] {
  const variants: FormVariant[] = [{ form: "portable" }];
  for (const size of machineSizes[choice]) {
    if (size <= maxBatchSize) variants.push({ form: "machine", size });
  }
  if (choice === "int8" && int8 === undefined) {
    throw new PipelineError("INVALID_ARGUMENT", `serving.form is int8, but ${bundle.metadata.name} has no such form`, {
      remedy: `make it with \`cifar quantize ${bundle.metadata.name}\`, or set serving.form=auto`,
    });
  }
  if (int8 === undefined || (choice !== "auto" && choice !== "int8")) return variants;
  const { validation, test } = int8.metadata.accuracy;
  const { float, form } = validation ?? test;
  const loss = float - form;
  if (choice === "int8" || loss <= mostLoss) return [...variants, { form: "int8" }];
  warn(`the form int8 of ${bundle.metadata.name} is not used: it loses ${(100 * loss).toFixed(2)} points of accuracy`);
  return variants;
}

/** Everything that a measurement depends on. */
function keyOf({ bundle, int8, choice, threads, maxBatchSize, version }: ChooseFormsOptions): string {
  const processor = `${cpus()[0]?.model} x ${cpus().length}`;
  const models = [bundle.metadata.modelSha256, int8?.metadata.formSha256 ?? "-"];
  return [version, process.versions.node, processor, threads, maxBatchSize, choice, ...models].join("; ");
}

/** The newest first. */
async function readChoices(file: string): Promise<readonly Choice[]> {
  const text = await readFile(file, "utf8").catch(ignoreMissing);
  if (text === undefined) return [];
  try {
    const { data = [] } = choicesSchema.safeParse(JSON.parse(text));
    return data.filter(({ plan: { variants, byCount } }) => byCount.every((place) => place < variants.length));
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

function unusable({ choice, bundle }: ChooseFormsOptions): PipelineError {
  return new PipelineError("MODEL_REFUSED", `the form ${choice} of ${bundle.metadata.name} can't be used here`, {
    remedy: "set serving.form=auto; the log names the reason",
  });
}

/** In a thread of its own; undefined, with a word why, where it came to no end. */
async function tried(
  { bundle, int8, threads, maxBatchSize, warn }: ChooseFormsOptions,
  variants: readonly FormVariant[],
): Promise<FormTrial | undefined> {
  const { metadata, modelPath } = bundle;
  const sample = await sampleImages(bundle);
  const data: FormTrialData = {
    files: { portable: modelPath, int8: int8?.modelPath },
    preprocessing: metadata.preprocessing,
    classCount: metadata.classes.length,
    ...{ threads, variants, maxBatchSize, sample: sample.images },
    weightBits: int8?.metadata.weightBits ?? 7,
    // Noise says nothing about classes.
    leastAgreement: sample.isReal && int8 !== undefined ? int8.metadata.agreement - agreementSlack : 0,
  };
  const worker = new Worker(workerUrl("workers/form-trial-worker"), { workerData: data, name: "form-trial" });
  const reply = await new Promise<FormTrialReply>((resolve) => {
    const give = (message: string) => resolve({ type: "failed", message });
    const timer = setTimeout(() => give(`no answer within ${trialTimeoutMs} ms`), trialTimeoutMs);
    worker.on("message", resolve);
    worker.on("error", (error) => give(error.message));
    worker.on("exit", (code) => {
      clearTimeout(timer);
      give(`the trial of the forms exited with code ${code}`);
    });
  });
  if (reply.type === "tried") return reply;
  // One that does not answer is inside ONNX Runtime: ended there it would take the whole process with it.
  worker.unref();
  warn(`the forms of ${metadata.name} could not be tried: ${reply.message}`);
  return undefined;
}

function nameOf({ form, size }: FormVariant): string {
  return size === undefined ? form : `${form} for batches of ${size}`;
}
