import type { InferenceModel } from "../graph/executor.ts";
import type { Graph } from "../graph/graph.ts";
import type { QuantizationPlan } from "../graph/quantization.ts";

/** Bits of a weight; 7 where this machine's kernels would let sums of two products of 8 bits saturate. */
export type WeightBits = 7 | 8;

/** Writes and loads models: a backend's, injected. Graphs are without variables. */
export interface QuantizedFormat {
  exportFloat(graph: Graph): Promise<Uint8Array>;
  exportQuantized(graph: Graph, plan: QuantizationPlan): Uint8Array;
  loadModel(bytes: Uint8Array): Promise<InferenceModel>;
}
