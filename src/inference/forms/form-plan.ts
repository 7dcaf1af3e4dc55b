/**
 * The ways in which a bundle's network can be run. portable: model.onnx. machine: the same network with the blocked kernels
 * of this processor, for one size of batch each. int8: the quantised model, where the bundle has one.
 */
export const formNames = ["portable", "machine", "int8"] as const;
export type FormName = (typeof formNames)[number];

/** One loaded model. */
export interface FormVariant {
  readonly form: FormName;
  /** Images of a run, to which smaller batches are filled up; undefined: as many as there are. */
  readonly size?: number | undefined;
}

/** Which variant runs a batch: `byCount[n - 1]` is the place in `variants` for n images. The first variant takes any batch. */
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

/** Sizes of batches that are worth a variant of their own: `from`, twice as many and so on up to the largest batch. */
export function batchLadder(maxBatchSize: number, from = 8): number[] {
  const sizes: number[] = [];
  for (let size = from; size < maxBatchSize; size *= 2) sizes.push(size);
  return [...sizes, maxBatchSize];
}

/** Another form must be quicker than model.onnx by this share: what is gained is measured anew on each machine. */
const leastGain = 0.05;

/**
 * The quickest variant for each number of images; only those that are used anywhere are in the plan. The quantised model
 * serves all batches or none, so that an answer does not depend on its company: where it is the quickest at each size.
 */
export function planOf(costs: readonly FormCost[], maxBatchSize: number): FormPlan {
  const [variants, [int8]] = partition(variantsOf(costs), ({ form }) => form !== "int8");
  const isQuicker = ({ images, milliseconds }: FormCost) =>
    milliseconds < (1 - leastGain) * costOf(quickest(variants, images), images);
  if (int8?.points.every(isQuicker)) return allBy({ form: "int8" }, maxBatchSize);
  const byCount = Array.from({ length: maxBatchSize }, (_, i) => quickest(variants, i + 1));
  const used = variants.filter((variant, i) => i === 0 || byCount.includes(variant));
  return {
    variants: used.map(({ form, size }) => (size === undefined ? { form } : { form, size })),
    byCount: byCount.map((variant) => used.indexOf(variant)),
  };
}

/** One variant, which takes any batch, for all of them. */
export function allBy(variant: FormVariant, maxBatchSize: number): FormPlan {
  return { variants: [variant], byCount: new Array<number>(maxBatchSize).fill(0) };
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}

interface Measured extends FormVariant {
  readonly points: readonly FormCost[];
}

/** model.onnx first. */
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

function quickest(variants: readonly Measured[], count: number): Measured {
  const first = variants[0]!;
  let best = first;
  let least = costOf(first, count) * (1 - leastGain);
  for (const variant of variants.slice(1)) {
    const cost = costOf(variant, count);
    if (cost >= least) continue;
    best = variant;
    least = cost;
  }
  return best;
}

/** Straight lines between the sizes that were measured. */
function costOf({ size, points }: Measured, count: number): number {
  if (size !== undefined) return count <= size ? points[0]!.milliseconds : Number.POSITIVE_INFINITY;
  const after = points.findIndex(({ images }) => images >= count);
  const [a, b] = after === -1 ? points.slice(-2) : points.slice(Math.max(0, after - 1), Math.max(2, after + 1));
  if (a === undefined || b === undefined) return (points[0]!.milliseconds * count) / points[0]!.images;
  return a.milliseconds + ((b.milliseconds - a.milliseconds) * (count - a.images)) / (b.images - a.images);
}
