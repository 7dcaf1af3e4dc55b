import { expect, it } from "vitest";
import { createRng } from "../base/rng.ts";
import * as g from "../graph/build.ts";
import { defineGraph } from "../graph/graph.ts";
import { floats } from "../tensor/tensor.ts";
import { codeWeights } from "./codes.ts";
import { findLayers } from "./layers.ts";
import { codedValues, missingMeans } from "./plan.ts";
import { simplify } from "./simplify.ts";

const rng = createRng("plans");
const constant = (...shape: number[]) =>
  g.constant(
    floats(
      shape,
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal()),
    ),
  );

/** A convolution with batch norm's rest, max-pool and relu, then a grouped one, a sum, a mean and a linear layer. */
function network() {
  const images = g.input("images", "float32", [2, 3, 8, 8]);
  const first = g.conv2d(images, constant(4, 3, 3, 3), { padding: 1 });
  const pooled = g.maxPool2d(g.channelAffine(first, constant(4), constant(4)), { kernel: 2 });
  const x = g.activation(pooled, "relu");
  const second = g.channelAffine(g.conv2d(x, constant(4, 2, 1, 1), { groups: 2 }), constant(4), constant(4));
  const sum = g.add(x, second);
  const logits = g.matmul(g.globalAvgPool(sum), constant(10, 4), { transB: true });
  return defineGraph({ name: "network", inputs: [images], outputs: { logits } });
}

it("finds layers with their bias and the activation that follows, though a pool stood between", () => {
  const layers = findLayers(simplify(network()));
  expect(layers.map(({ product, output, bias }) => [product.op, output.op, bias?.length])).toEqual([
    ["conv2d", "activation", 4],
    ["conv2d", "channelAffine", 4],
    ["matmul", "matmul", undefined],
  ]);
});

it("wants bytes of what flows between the layers, once behind pools and sums", () => {
  const layers = findLayers(simplify(network()));
  const ops = codedValues(layers).map(({ op }) => op);
  // images, relu, affine, sum, mean
  expect(ops.toSorted()).toEqual(["activation", "binary", "binary", "channelAffine", "input"]);
  expect(codedValues([])).toEqual([]);
});

it.each([0, 1, 2])("tells the mean that rounding takes from each output of layer %i", (index) => {
  const layer = findLayers(simplify(network()))[index]!;
  const coded = codeWeights(layer, 0.1, 7);
  const means = Float64Array.from({ length: layer.input.shape[1]! }, () => rng.uniform());
  const weight = layer.product.operands[1]!;
  const [outputs, perGroup, taps] = [
    weight.shape[0]!,
    weight.shape[1]!,
    weight.shape.slice(2).reduce((a, b) => a * b, 1),
  ];
  const groups = means.length / perGroup;
  const expected = Array.from({ length: outputs }, (_, o) => {
    let sum = 0;
    for (let c = 0; c < perGroup; c++) {
      const channel = Math.floor((o * groups) / outputs) * perGroup + c;
      for (let tap = 0; tap < taps; tap++) {
        const i = (o * perGroup + c) * taps + tap;
        sum += (layer.weights[i]! - coded.weights[i]! * coded.scales[o]!) * means[channel]!;
      }
    }
    return expect.closeTo(sum, 5);
  });
  expect([...missingMeans(layer, coded, means)]).toEqual(expected);
});
