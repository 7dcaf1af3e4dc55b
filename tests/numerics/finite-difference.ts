import { fromTensor, type ReferenceArray } from "../../src/backends/reference/array.ts";
import { interpret } from "../../src/backends/reference/interpreter.ts";
import { createRng } from "../../src/base/rng.ts";
import { topologicalOrder } from "../../src/graph/graph.ts";
import type { Program } from "./program.ts";

/**
 * Width of the central difference: truncation goes with its square, rounding with its inverse, and in a chain the
 * chance that some window's maximum or some ReLU switches goes with it.
 */
const step = 1e-7;

/**
 * For each input that `program` differentiates `loss` by: the directional derivative by central difference in double
 * precision against the gradient's inner product with the direction, relative to the gradient's length (which is what
 * the product with a random direction is typically as large as).
 */
export function gradientErrors({ graph, feeds, wrt }: Program): Record<string, number> {
  const bindings = Object.fromEntries(Object.entries(feeds).map(([name, value]) => [name, fromTensor(value)]));
  const lossAt = (changed: Record<string, ReferenceArray>): number =>
    interpret(lossOnly, { ...bindings, ...changed }, "float64").outputs.loss!.data[0]!;
  const lossOnly = {
    ...graph,
    outputs: { loss: graph.outputs.loss! },
    values: topologicalOrder([graph.outputs.loss!]),
  };
  const { outputs } = interpret(graph, bindings, "float64");
  return Object.fromEntries(
    wrt.map((name) => {
      const at = bindings[name]!;
      const grad = outputs[`grad.${name}`]!.data;
      const rng = createRng(`direction/${name}`);
      const direction = at.data.map(() => rng.normal());
      const moved = (by: number): ReferenceArray => ({
        shape: at.shape,
        data: at.data.map((x, i) => x + by * direction[i]!),
      });
      const numeric = (lossAt({ [name]: moved(step) }) - lossAt({ [name]: moved(-step) })) / (2 * step);
      const analytic = grad.reduce((sum, g, i) => sum + g * direction[i]!, 0);
      const length = Math.sqrt(grad.reduce((sum, g) => sum + g * g, 0));
      return [name, Math.abs(numeric - analytic) / (length === 0 ? 1 : length)];
    }),
  );
}
