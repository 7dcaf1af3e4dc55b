import { setImmediate as nextTurn } from "node:timers/promises";
import { mustGet } from "../base/assert.ts";
import { defineGraph, type Graph } from "../graph/graph.ts";
import type { Value } from "../graph/value.ts";
import { sizeOf } from "../tensor/shape.ts";
import { floatData, type Tensor } from "../tensor/tensor.ts";
import type { QuantizedFormat } from "./format.ts";
import { Histogram } from "./histogram.ts";
import type { CalibrationMethod } from "./range.ts";

/** Images as the network takes them. */
export interface ImageBatches {
  readonly count: number;
  /** Float32 [size, 3, height, width], the images from `start` on. */
  batch(start: number, size: number): Tensor<"float32">;
}

/** What was seen of activations. */
export interface Observations {
  readonly histograms: ReadonlyMap<Value, Histogram>;
  /** Mean of each channel. */
  readonly means: ReadonlyMap<Value, Float64Array>;
}

export interface ObserveOptions {
  readonly format: QuantizedFormat;
  readonly images: ImageBatches;
  readonly method: CalibrationMethod;
  readonly signal?: AbortSignal | undefined;
  /** Images that were run, of as many runs as there are. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Activations of one batch, all of which are held at once. */
const maxBatchBytes = 128 * 1024 ** 2;
const maxBatch = 32;

/**
 * Runs the graph in float32 and looks at some of its values: once for their bounds, once more for what lies between,
 * where the method wants to know. Memory is bounded by one batch and a histogram for each value.
 * @param graph without variables
 * @throws the signal's reason when it aborts
 */
export async function observe(graph: Graph, values: readonly Value[], options: ObserveOptions): Promise<Observations> {
  const { format, images, method, signal, onProgress } = options;
  const named = new Map(values.map((value, i) => [`value${i}`, value]));
  const watched = defineGraph({
    name: graph.name,
    inputs: Object.values(graph.inputs),
    outputs: Object.fromEntries(named),
  });
  await using model = await format.loadModel(await format.exportFloat(watched));
  const perImage = values.reduce((sum, { shape }) => sum + 4 * sizeOf(shape.slice(1)), 0);
  const size = Math.min(maxBatch, Math.max(1, Math.floor(maxBatchBytes / perImage)));
  const passes = method === "minmax" ? 1 : 2;
  const each = async (pass: number, look: (value: Value, data: Float32Array) => void): Promise<void> => {
    for (let start = 0; start < images.count; start += size) {
      await nextTurn();
      signal?.throwIfAborted();
      const rows = Math.min(size, images.count - start);
      const results = await model.run({ images: images.batch(start, rows) });
      for (const [name, value] of named) look(value, floatData(results[name]!));
      onProgress?.(pass * images.count + start + rows, passes * images.count);
    }
  };
  const bounds = new Map<Value, Bounds>(values.map((value) => [value, new Bounds(value)]));
  await each(0, (value, data) => bounds.get(value)!.add(data));
  const histograms = new Map(values.map((value) => [value, mustGet(bounds, value, "bounds").histogram()]));
  if (passes === 2) await each(1, (value, data) => histograms.get(value)!.add(data));
  return { histograms, means: new Map([...bounds].map(([value, bound]) => [value, bound.means()])) };
}

class Bounds {
  readonly #sums: Float64Array;
  readonly #places: number;
  #low = Number.POSITIVE_INFINITY;
  #high = Number.NEGATIVE_INFINITY;
  #images = 0;

  constructor({ shape }: Value) {
    this.#sums = new Float64Array(shape[1] ?? 1);
    this.#places = sizeOf(shape.slice(2));
  }

  add(data: Float32Array): void {
    const channels = this.#sums.length;
    const places = this.#places;
    for (let plane = 0, i = 0; i < data.length; plane++) {
      let sum = 0;
      for (const end = i + places; i < end; i++) {
        const x = data[i]!;
        sum += x;
        if (x < this.#low) this.#low = x;
        if (x > this.#high) this.#high = x;
      }
      this.#sums[plane % channels]! += sum;
    }
    this.#images += data.length / (channels * places);
  }

  histogram(): Histogram {
    return new Histogram(this.#low, this.#high);
  }

  means(): Float64Array {
    return this.#sums.map((sum) => sum / (this.#images * this.#places));
  }
}
