import { PipelineError } from "../../base/errors.ts";

/**
 * The ways in which a bundle's network can be run. portable: model.onnx. machine: the same network with the blocked kernels
 * of this processor, for one size of batch each. int8: the quantised model, where the bundle has one.
 */
export const formNames = ["portable", "machine", "int8"] as const;
export type FormName = (typeof formNames)[number];

/** One loaded model. */
export interface FormVariant {
  readonly form: FormName;
  /** Images of a run: larger batches take several, the last of which is filled up; undefined: as many as there are. */
  readonly size?: number | undefined;
}

/** Which variant runs a batch: `byCount[n - 1]` is the place in `variants` for n images, the first where there is none. */
export interface FormPlan {
  readonly variants: readonly FormVariant[];
  readonly byCount: readonly number[];
}

/** What a run of a variant has taken. */
export interface FormCost extends FormVariant {
  readonly images: number;
  readonly milliseconds: number;
}

export const portablePlan: FormPlan = { variants: [{ form: "portable" }], byCount: [] };

/** Sizes of batches that tell what any costs: 8, twice as many and so on up to the largest batch. */
export function batchLadder(maxBatchSize: number): number[] {
  const sizes: number[] = [];
  for (let size = 8; size < maxBatchSize; size *= 2) sizes.push(size);
  return [...sizes, maxBatchSize];
}

/** Another form must be quicker than model.onnx by this share: what is gained is measured anew on each machine. */
const leastGain = 0.05;

/** A larger run must be quicker by this share over all batches: it takes more memory, and more batches leave it half empty. */
const leastGainOfSize = 0.1;

/**
 * The quickest variant for each number of images, out of two: the first, and of those that are made for one size of batch
 * the one that gains most, because each of them has its own copy of the weights in memory. The quantised model serves all
 * batches or none, so that an answer does not depend on its company: where it is the quickest at each size.
 */
export function planOf(costs: readonly FormCost[], maxBatchSize: number): FormPlan {
  const [first, ...rest] = variantsOf(costs);
  if (first === undefined) throw new PipelineError("INVALID_ARGUMENT", "there is no form to choose from");
  const counts = Array.from({ length: maxBatchSize }, (_, i) => i + 1);
  const perImage = (variants: Variants) =>
    counts.reduce((sum, count) => sum + costOf(quickest(variants, count), count) / count, 0);
  const sized = rest.filter(({ form }) => form !== "int8").map((variant): Variants => [first, variant]);
  const variants = sized.reduce(
    (best, pair) => {
      const needed = best.length === 1 ? 1 : 1 - leastGainOfSize;
      return perImage(pair) < needed * perImage(best) ? pair : best;
    },
    [first] as Variants,
  );
  const int8 = rest.find(({ form }) => form === "int8");
  const isQuicker = ({ images, milliseconds }: FormCost) =>
    milliseconds < (1 - leastGain) * costOf(quickest(variants, images), images);
  if (int8?.points.every(isQuicker)) return allBy({ form: "int8" }, maxBatchSize);
  const byCount = counts.map((count) => quickest(variants, count));
  const used = variants.filter((variant) => byCount.includes(variant));
  return {
    variants: used.map(({ form, size }) => (size === undefined ? { form } : { form, size })),
    byCount: byCount.map((variant) => used.indexOf(variant)),
  };
}

/** One variant, which takes any batch, for all of them. */
export function allBy(variant: FormVariant, maxBatchSize: number): FormPlan {
  return { variants: [variant], byCount: new Array<number>(maxBatchSize).fill(0) };
}

interface Measured extends FormVariant {
  readonly points: readonly FormCost[];
}

type Variants = readonly [Measured, ...Measured[]];

/** model.onnx first, where it is among them. */
function variantsOf(costs: readonly FormCost[]): Measured[] {
  const byKey = new Map<string, FormCost[]>();
  for (const cost of costs) {
    const key = `${cost.form} ${cost.size}`;
    byKey.set(key, [...(byKey.get(key) ?? []), cost]);
  }
  const measured = [...byKey.values()].map((points) => ({
    ...{ form: points[0]!.form, size: points[0]!.size },
    points: points.toSorted((a, b) => a.images - b.images),
  }));
  return measured.toSorted((a, b) => formNames.indexOf(a.form) - formNames.indexOf(b.form));
}

function quickest([first, ...rest]: Variants, count: number): Measured {
  let best = first;
  let least = costOf(first, count) * (1 - leastGain);
  for (const variant of rest) {
    const cost = costOf(variant, count);
    if (cost >= least) continue;
    best = variant;
    least = cost;
  }
  return best;
}

/** Straight lines between the sizes that were measured. */
function costOf({ size, points }: Measured, count: number): number {
  if (size !== undefined) return Math.ceil(count / size) * points[0]!.milliseconds;
  const after = points.findIndex(({ images }) => images >= count);
  const [a, b] = after === -1 ? points.slice(-2) : points.slice(Math.max(0, after - 1), Math.max(2, after + 1));
  if (a === undefined || b === undefined) return (points[0]!.milliseconds * count) / points[0]!.images;
  return a.milliseconds + ((b.milliseconds - a.milliseconds) * (count - a.images)) / (b.images - a.images);
}
