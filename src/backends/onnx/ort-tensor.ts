import { PipelineError } from "../../base/errors.ts";
import type { DType, TypedArrayOf } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { ort } from "./onnxruntime.ts";

/** Wraps without copying. */
export function toOrt(value: Tensor, shape: readonly number[] = value.shape): ort.Tensor {
  return new ort.Tensor(value.dtype, value.data as Float32Array, [...shape]);
}

export function fromOrt(value: ort.Tensor): Tensor {
  const dtype = toDType(value.type);
  return { dtype, shape: value.dims, data: value.data as TypedArrayOf<typeof dtype> };
}

export function toDType(type: string): DType {
  switch (type) {
    case "float32":
    case "float16":
    case "int32":
    case "uint8":
      return type;
    default:
      throw new PipelineError("INVALID_ARGUMENT", `unsupported tensor element type ${type}`, {
        remedy: "export the model with float32, float16, int32 or uint8 inputs and outputs",
      });
  }
}
