import type { Value } from "./value.ts";

/** What the bytes 0..255 of an activation stand for: scale * (byte - zeroPoint). */
export interface ByteCode {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** A convolution or matrix product in integers, with its bias and a clipping activation. */
export interface IntegerLayer {
  /** The product itself; its operands are activation and constant weight. */
  readonly product: Value<"conv2d"> | Value<"matmul">;
  /** In the order of the weight. */
  readonly weights: Int8Array;
  /** Of each output channel: a weight is its scale times its integer. */
  readonly scales: Float32Array;
  /** In units of the activation's scale times the channel's. */
  readonly bias: Int32Array;
}

/**
 * How a graph without variables is computed in 8 bit. Declared here, made in quantization/, written in backends/. What
 * it does not name stays in float32.
 */
export interface QuantizationPlan {
  /** Activations that are wanted as bytes. */
  readonly codes: ReadonlyMap<Value, ByteCode>;
  /** By the last value that a layer computes: the activation behind a convolution, or the product itself. */
  readonly layers: ReadonlyMap<Value, IntegerLayer>;
}
