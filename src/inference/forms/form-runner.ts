import { PipelineError } from "../../base/errors.ts";
import type { InferenceModel } from "../../graph/executor.ts";
import { floatData, type Tensor, tensor } from "../../tensor/tensor.ts";
import { normalise, type Preprocessing } from "../preprocess.ts";
import type { FormVariant } from "./form-plan.ts";

export interface FormRunnerOptions {
  readonly preprocessing: Preprocessing;
  readonly classCount: number;
}

/** A loaded variant: images in, logits out. It blocks its thread. */
export interface FormRunner extends AsyncDisposable {
  readonly variant: FormVariant;
  /**
   * @param images uint8 [N, 3, height, width]
   * @returns logits [N * classes] in memory of their own
   * @throws SHAPE_MISMATCH
   */
  run(images: Tensor<"uint8">): Promise<Float32Array<ArrayBuffer>>;
}

export function formRunner(
  model: InferenceModel,
  variant: FormVariant,
  { preprocessing, classCount }: FormRunnerOptions,
): FormRunner {
  /** @param images at most the variant's size */
  const runOnce = async (images: Tensor<"uint8">): Promise<Float32Array> => {
    const count = images.shape[0]!;
    const rows = variant.size ?? count;
    const { logits } = await model.run({ images: normalise(images, preprocessing, rows) });
    if (logits === undefined || logits.shape.join() !== `${rows},${classCount}`) {
      throw new PipelineError(
        "SHAPE_MISMATCH",
        `the model gave logits [${logits?.shape ?? "none"}], expected [${rows}, ${classCount}]`,
        { remedy: "model.onnx and metadata.json do not belong together: restore the bundle" },
      );
    }
    return floatData(logits).subarray(0, count * classCount);
  };
  return {
    variant,
    async run({ data, shape: [count = 0, ...shape] }) {
      const logits = new Float32Array(count * classCount);
      const step = variant.size ?? count;
      for (let start = 0; start < count; start += step) {
        const rows = Math.min(step, count - start);
        const images = data.subarray((start * data.length) / count, ((start + rows) * data.length) / count);
        logits.set(await runOnce(tensor("uint8", [rows, ...shape], images)), start * classCount);
      }
      return logits;
    },
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}
