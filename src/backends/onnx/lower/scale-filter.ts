import type { Shape } from "../../../tensor/shape.ts";
import { type FilterForm, physicalShape, roundUp } from "../layout.ts";
import type { Lowering } from "../lowering.ts";

/** A filter with each output channel times its factor [O padded]. */
export function scaleFilter(
  { writer, block }: Lowering,
  name: string,
  form: FilterForm,
  shape: Shape,
  factor: string,
): string {
  const blocks = roundUp(shape[0]!, block) / block;
  const [rows, factors] =
    form === "winograd"
      ? [
          [9, blocks, -1, block],
          [1, blocks, 1, block],
        ]
      : [
          [blocks, -1, block],
          [blocks, 1, block],
        ];
  const product = writer.op("Mul", [writer.reshape(name, rows), writer.reshape(factor, factors)]);
  return writer.reshape(product, physicalShape(form, shape, block));
}
