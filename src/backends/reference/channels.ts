import { sizeOf } from "../../tensor/shape.ts";
import { type Evaluator, imageShape, operandAt } from "./evaluator.ts";

export const channelAffine: Evaluator<"channelAffine"> = (value, operands) => {
  const [x, scale, bias] = [operandAt(operands, 0), operandAt(operands, 1), operandAt(operands, 2)];
  const [, channels, height, width] = imageShape(value);
  return x.data.map((element, i) => {
    const plane = Math.floor(i / (height * width));
    const channel = scale.shape.length === 1 ? plane % channels : plane;
    return element * scale.data[channel]! + bias.data[channel]!;
  });
};

export const spatialDot: Evaluator<"spatialDot"> = ({ shape }, operands) => {
  const [x, y] = [operandAt(operands, 0), operandAt(operands, 1)];
  const [, , height, width] = imageShape(x);
  const result = new Float64Array(sizeOf(shape));
  x.data.forEach((element, i) => {
    result[Math.floor(i / (height * width))]! += element * y.data[i]!;
  });
  return result;
};
