import { PipelineError } from "../../base/errors.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { batchLadder, type FormCost, type FormPlan, type FormVariant, planOf } from "./form-plan.ts";
import type { FormRunner } from "./form-runner.ts";

export interface FormTrialOptions {
  /** model.onnx first. */
  readonly runners: readonly FormRunner[];
  /** uint8 [N, 3, height, width]: images of the validation data, or noise where the bundle has none. */
  readonly sample: Tensor<"uint8">;
  readonly classCount: number;
  readonly maxBatchSize: number;
  /** For each size that is timed; default 150 ms. */
  readonly budgetMs?: number;
  /** Least share of the sample's images for which the 8-bit model must name the class that model.onnx names. */
  readonly leastAgreement: number;
  readonly clock?: () => number;
}

export interface FormTrial {
  readonly plan: FormPlan;
  readonly costs: readonly FormCost[];
  /** Variants that do not give model.onnx's answers, and by how much. */
  readonly refused: readonly { readonly variant: FormVariant; readonly reason: string }[];
}

/** Largest difference between logits, relative to the largest of them, that another order of summing may make. */
const machineTolerance = 1e-3;

/** Checks each variant against model.onnx on the sample, times those that pass, in turns, and chooses. */
export async function tryForms(options: FormTrialOptions): Promise<FormTrial> {
  const { runners, maxBatchSize } = options;
  const [portable] = runners;
  if (portable === undefined) throw new PipelineError("INVALID_ARGUMENT", "there is no model to try");
  const reference = await logitsOf(portable, options);
  const passed = [portable];
  const refused: { variant: FormVariant; reason: string }[] = [];
  for (const runner of runners.slice(1)) {
    const reason = doubt(runner.variant, { reference, logits: await logitsOf(runner, options) }, options);
    if (reason === undefined) passed.push(runner);
    else refused.push({ variant: runner.variant, reason });
  }
  const costs = await timed(passed, options);
  return { plan: planOf(costs, maxBatchSize), costs, refused };
}

/** Of the whole sample, in batches as large as the variant takes them. */
async function logitsOf(
  runner: FormRunner,
  { sample, maxBatchSize, classCount }: FormTrialOptions,
): Promise<Float32Array> {
  const count = sample.shape[0]!;
  const step = maxBatchSize;
  const logits = new Float32Array(count * classCount);
  for (let start = 0; start < count; start += step) {
    logits.set(await runner.run(imagesFrom(sample, start, Math.min(step, count - start))), start * classCount);
  }
  return logits;
}

function doubt(
  { form }: FormVariant,
  { reference, logits }: { readonly reference: Float32Array; readonly logits: Float32Array },
  { classCount, leastAgreement }: FormTrialOptions,
): string | undefined {
  if (!logits.every(Number.isFinite)) return "a logit is not finite";
  if (form === "int8") {
    const agreement = agreementOf(reference, logits, classCount);
    return agreement >= leastAgreement
      ? undefined
      : `it names model.onnx's class for ${(100 * agreement).toFixed(1)} % of the sample, ${(100 * leastAgreement).toFixed(1)} % are wanted`;
  }
  const largest = reference.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const difference = reference.reduce((max, value, i) => Math.max(max, Math.abs(value - logits[i]!)), 0);
  return difference <= machineTolerance * Math.max(1, largest) ? undefined : `a logit is ${difference} off`;
}

function agreementOf(a: Float32Array, b: Float32Array, classCount: number): number {
  const images = a.length / classCount;
  let same = 0;
  for (let i = 0; i < images; i++) if (best(a, i, classCount) === best(b, i, classCount)) same++;
  return same / images;
}

function best(logits: Float32Array, image: number, classCount: number): number {
  const row = logits.subarray(image * classCount, (image + 1) * classCount);
  return row.reduce((top, value, i) => (value > row[top]! ? i : top), 0);
}

/**
 * The quickest run of each variant at the sizes that tell its cost, all in turns: other work on the machine makes runs longer,
 * never shorter.
 */
async function timed(runners: readonly FormRunner[], options: FormTrialOptions): Promise<FormCost[]> {
  const { sample, maxBatchSize, budgetMs = 150, clock = () => performance.now() } = options;
  const costs: FormCost[] = [];
  const sizes = new Set([1, ...batchLadder(maxBatchSize), ...runners.flatMap(({ variant }) => variant.size ?? [])]);
  for (const size of [...sizes].sort((a, b) => a - b)) {
    const contestants = runners.filter(({ variant }) => variant.size === undefined || variant.size === size);
    const times = contestants.map((): number[] => []);
    const images = imagesFrom(sample, 0, size);
    const end = clock() + budgetMs * contestants.length;
    // Each at least three times, the first of which warms it up.
    for (let turn = 0; turn < 3 || (turn < 50 && clock() < end); turn++) {
      for (const [i, runner] of contestants.entries()) {
        const started = clock();
        await runner.run(images);
        if (turn > 0) times[i]!.push(clock() - started);
      }
    }
    for (const [i, { variant }] of contestants.entries()) {
      costs.push({ ...variant, images: size, milliseconds: Math.min(...times[i]!) });
    }
  }
  return costs;
}

/** Some of the sample, from its beginning again where it ends. */
function imagesFrom({ data, shape }: Tensor<"uint8">, start: number, count: number): Tensor<"uint8"> {
  const perImage = data.length / shape[0]!;
  const images = new Uint8Array(count * perImage);
  for (let i = 0; i < count; i++) {
    const from = ((start + i) % shape[0]!) * perImage;
    images.set(data.subarray(from, from + perImage), i * perImage);
  }
  return tensor("uint8", [count, ...shape.slice(1)], images);
}
