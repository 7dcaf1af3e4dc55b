import { setImmediate as nextTurn } from "node:timers/promises";
import { countFlops } from "../graph/flops.ts";
import type { Graph } from "../graph/graph.ts";
import { floatData } from "../tensor/tensor.ts";
import type { QuantizedFormat, WeightBits } from "./format.ts";
import { findLayers, type Layer } from "./layers.ts";
import { type ImageBatches, type Observations, observe } from "./observe.ts";
import { observedValues, type PlanOptions, planOf } from "./plan.ts";
import type { CalibrationMethod } from "./range.ts";
import { simplify } from "./simplify.ts";

/** What a quantisation is at. */
export type QuantizeStage = "calibrate" | "measure" | "sensitivity" | "search";

export interface QuantizeOptions {
  readonly format: QuantizedFormat;
  readonly method: CalibrationMethod;
  readonly weightBits: WeightBits;
  /** Training images. */
  readonly images: ImageBatches;
  /** Of the model in a file, on images that it was not calibrated with. */
  readonly accuracyOf: (bytes: Uint8Array) => Promise<number>;
  /** Of the float model on the same. */
  readonly floatAccuracy: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((stage: QuantizeStage, done: number, total: number) => void) | undefined;
}

export interface Quantized {
  readonly bytes: Uint8Array;
  /** Layers left in float32, in the order of the network. */
  readonly floatLayers: readonly string[];
  readonly accuracy: number;
}

/** What accuracy may be lost before layers go back to float32. */
export const accuracyTolerance = 0.002;

/** Images on which logits are compared. */
const comparedImages = 256;

/** Beyond this share of the products in float32 there is nothing to gain. */
const maxFloatShare = 0.5;

/**
 * The graph in 8 bit. Where its accuracy falls by more than the tolerance, the layers whose rounding moves the logits
 * most go back to float32 one after the other, until it does not, or the gain is gone: then the most accurate of those
 * that were tried is kept.
 * @param graph without variables, weights folded
 * @throws the signal's reason when it aborts
 */
export async function quantize(graph: Graph, options: QuantizeOptions): Promise<Quantized> {
  const { format, method, weightBits, images, signal, accuracyOf, floatAccuracy, onProgress } = options;
  const simple = simplify(graph);
  const layers = findLayers(simple);
  const observations = await observe(simple, observedValues(layers), {
    format,
    images,
    method,
    signal,
    onProgress: (done, total) => onProgress?.("calibrate", done, total),
  });
  const reference = await logitsOn(await format.exportFloat(simple), options);
  const distance = async (bytes: Uint8Array): Promise<number> =>
    squaredDistance(await logitsOn(bytes, options), reference);
  const bias = await betterBias(simple, layers, { observations, options, distance });
  const bytesWithout = (floats: ReadonlySet<Layer>): Uint8Array => {
    const integers = layers.filter((layer) => !floats.has(layer));
    return format.exportQuantized(simple, planOf(simple, integers, { observations, method, weightBits, bias }));
  };
  const tried = async (floats: ReadonlySet<Layer>): Promise<Quantized> => {
    await nextTurn();
    signal?.throwIfAborted();
    const bytes = bytesWithout(floats);
    const floatLayers = layers.filter((layer) => floats.has(layer)).map(({ name }) => name);
    return { bytes, floatLayers, accuracy: await accuracyOf(bytes) };
  };
  onProgress?.("measure", 0, 1);
  let best = await tried(new Set());
  if (floatAccuracy - best.accuracy <= accuracyTolerance) return best;

  const gains: { readonly layer: Layer; readonly distance: number }[] = [];
  for (const layer of layers) {
    onProgress?.("sensitivity", gains.length, layers.length);
    gains.push({ layer, distance: await distance(bytesWithout(new Set([layer]))) });
  }
  gains.sort((a, b) => a.distance - b.distance);
  const products = ({ product }: Layer): number => countFlops({ values: [product] }).total;
  const total = layers.reduce((sum, layer) => sum + products(layer), 0);
  const floats = new Set<Layer>();
  let inFloat = 0;
  for (const { layer } of gains) {
    inFloat += products(layer);
    if (inFloat > maxFloatShare * total) break;
    floats.add(layer);
    onProgress?.("search", floats.size, layers.length);
    const next = await tried(floats);
    if (next.accuracy > best.accuracy) best = next;
    if (floatAccuracy - next.accuracy <= accuracyTolerance) break;
  }
  return best;
}

interface BiasContext {
  readonly observations: Observations;
  readonly options: QuantizeOptions;
  readonly distance: (bytes: Uint8Array) => Promise<number>;
}

/** Whichever brings the logits nearer to those of the float model. */
async function betterBias(graph: Graph, layers: readonly Layer[], context: BiasContext): Promise<PlanOptions["bias"]> {
  const { observations, options, distance } = context;
  const { format, method, weightBits } = options;
  const of = (bias: PlanOptions["bias"]): Promise<number> =>
    distance(format.exportQuantized(graph, planOf(graph, layers, { observations, method, weightBits, bias })));
  const plain = await of("plain");
  return (await of("corrected")) < plain ? "corrected" : "plain";
}

/** Logits of some of the calibration images. */
async function logitsOn(bytes: Uint8Array, options: QuantizeOptions): Promise<readonly Float32Array[]> {
  const { format, images, signal } = options;
  await using model = await format.loadModel(bytes);
  const parts: Float32Array[] = [];
  const count = Math.min(comparedImages, images.count);
  for (let start = 0; start < count; start += 16) {
    await nextTurn();
    signal?.throwIfAborted();
    const { logits } = await model.run({ images: images.batch(start, Math.min(16, count - start)) });
    parts.push(floatData(logits!));
  }
  return parts;
}

/** Mean over all numbers. */
function squaredDistance(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  let sum = 0;
  let count = 0;
  a.forEach((part, i) => {
    const other = b[i]!;
    part.forEach((x, k) => {
      sum += (x - other[k]!) ** 2;
    });
    count += part.length;
  });
  return sum / count;
}
