import { sizeOf } from "../../tensor/shape.ts";
import { type Evaluator, operandAt } from "./evaluator.ts";

export const matmul: Evaluator<"matmul"> = ({ shape, attrs }, operands) => {
  const [a, b] = [operandAt(operands, 0), operandAt(operands, 1)];
  const batches = shape.length === 3 ? shape[0]! : 1;
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  const inner = attrs.transA ? a.shape.at(-2)! : a.shape.at(-1)!;
  const [aRow, aInner] = attrs.transA ? [1, rows] : [inner, 1];
  const [bInner, bColumn] = attrs.transB ? [1, inner] : [columns, 1];
  const result = new Float64Array(sizeOf(shape));
  for (let batch = 0; batch < batches; batch++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let k = 0; k < inner; k++) {
          const left = a.data[batch * rows * inner + row * aRow + k * aInner]!;
          sum += left * b.data[batch * inner * columns + k * bInner + column * bColumn]!;
        }
        result[(batch * rows + row) * columns + column] = sum;
      }
    }
  }
  return result;
};

/** A label outside 0..depth-1 gives a row of zeros. */
export const oneHot: Evaluator<"oneHot"> = ({ shape, attrs }, operands) => {
  const result = new Float64Array(sizeOf(shape));
  operandAt(operands, 0).data.forEach((label, row) => {
    if (label >= 0 && label < attrs.depth) result[row * attrs.depth + label] = 1;
  });
  return result;
};
