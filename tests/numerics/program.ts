import { gradients } from "../../src/autodiff/grad.ts";
import { createRng } from "../../src/base/rng.ts";
import { add, input, mul, sumAll } from "../../src/graph/build.ts";
import { defineGraph, type Graph } from "../../src/graph/graph.ts";
import type { Value } from "../../src/graph/value.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { floats, type Named, type Tensor } from "../../src/tensor/tensor.ts";
import type { PreparedCase } from "./op-case.ts";

/** A graph with the tensors to feed it. */
export interface Program {
  readonly graph: Graph;
  readonly feeds: Named<Tensor>;
  readonly wrt: readonly string[];
}

/**
 * Forward and backward of a case in one graph: `result`, `loss` = sum(result * cotangent) for a random cotangent, and
 * `grad.NAME` for each input to differentiate by. The cotangent is one of those where the case has any.
 */
export function differentiate({ inputs, feeds, result, wrt }: PreparedCase): Program {
  if (wrt.length === 0) {
    return { graph: defineGraph({ name: "case", inputs: Object.values(inputs), outputs: { result } }), feeds, wrt };
  }
  const cotangent = input("cotangent", "float32", result.shape);
  const loss = sumAll(mul(result, cotangent));
  const grads = gradients(
    loss,
    wrt.map((name) => inputs[name]!),
  );
  return {
    graph: defineGraph({
      name: "case",
      inputs: [...Object.values(inputs), cotangent],
      outputs: { result, loss, ...Object.fromEntries(wrt.map((name, i) => [`grad.${name}`, grads[i]!])) },
    }),
    feeds: { ...feeds, cotangent: randomLike(result, "cotangent") },
    wrt,
  };
}

/**
 * Second order: the loss is the sum of the first gradients times random directions, differentiated by the inputs and by
 * the cotangent of the first order.
 * @throws NOT_DIFFERENTIABLE where a gradient has no rule
 */
export function differentiateTwice(prepared: PreparedCase): Program {
  const { graph, feeds, wrt } = differentiate(prepared);
  const directions = wrt.map((name) => input(`direction.${name}`, "float32", graph.outputs[`grad.${name}`]!.shape));
  const terms = wrt.map((name, i) => sumAll(mul(graph.outputs[`grad.${name}`]!, directions[i]!)));
  const loss = terms.reduce((sum, term) => add(sum, term));
  const by = [...wrt, "cotangent"];
  const grads = gradients(
    loss,
    by.map((name) => graph.inputs[name]!),
  );
  return {
    graph: defineGraph({
      name: "second order",
      inputs: [...Object.values(graph.inputs), ...directions],
      outputs: { loss, ...Object.fromEntries(by.map((name, i) => [`grad.${name}`, grads[i]!])) },
    }),
    feeds: {
      ...feeds,
      ...Object.fromEntries(directions.map((value) => [value.attrs.name, randomLike(value, value.attrs.name)])),
    },
    wrt: by,
  };
}

function randomLike({ shape }: Value, label: string): Tensor {
  const rng = createRng(label);
  return floats(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => rng.normal()),
  );
}
