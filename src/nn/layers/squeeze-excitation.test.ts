import { expect, it } from "vitest";
import { createReferenceExecutor } from "../../backends/reference/executor.ts";
import { createRng } from "../../base/rng.ts";
import { input } from "../../graph/build.ts";
import { defineGraph } from "../../graph/graph.ts";
import { floats } from "../../tensor/tensor.ts";
import { constantInit } from "../initializers.ts";
import { trace } from "../trace.ts";
import { type SqueezeExcitationOptions, squeezeExcitation } from "./squeeze-excitation.ts";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** One image of two channels with the means 2 and -1, squeezed to one number: 3 * 2 + 1 * -1 - 1 = 4. */
async function gated(options: Pick<SqueezeExcitationOptions, "activation" | "gate">): Promise<number[]> {
  const x = input("x", "float32", [1, 2, 1, 2]);
  const module = squeezeExcitation("se", { channels: 2, squeezeChannels: 1, ...options });
  const { output, parameters } = trace(module, x, "eval");
  const graph = defineGraph({ name: "se", inputs: [x, ...Object.values(parameters)], outputs: { output } });
  await using executable = await createReferenceExecutor().compile(graph);
  const results = await executable.run({
    x: floats([1, 2, 1, 2], [1, 3, -3, 1]),
    "se.fc1.weight": floats([1, 2, 1, 1], [3, 1]),
    "se.fc1.bias": floats([1], [-1]),
    "se.fc2.weight": floats([2, 1, 1, 1], [0.5, -1]),
    "se.fc2.bias": floats([2], [0.25, 1]),
  });
  return Array.from(results.output!.data);
}

it("multiplies each channel by the gate of its squeezed means", async () => {
  const [first, second] = [sigmoid(0.5 * 4 + 0.25), sigmoid(-4 + 1)];
  const expected = [first, 3 * first, -3 * second, second];
  (await gated({})).forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i]!, 6);
  });
});

it("takes other activations behind both layers", async () => {
  const hidden = 4 * sigmoid(4);
  const [first, second] = [0.5 * hidden + 0.25, 1 - hidden].map((x) => x / 6 + 0.5) as [number, number];
  const expected = [first, 3 * first, -3 * second, second];
  (await gated({ activation: "silu", gate: "hardSigmoid" })).forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i]!, 6);
  });
});

it("initialises both weights as told and biases as PyTorch's convolutions", () => {
  const { parameters } = squeezeExcitation("se", { channels: 4, squeezeChannels: 2, weightInit: constantInit(3) });
  expect(parameters.map(({ name, shape }) => `${name} ${shape.join("x")}`)).toEqual([
    "se.fc1.weight 2x4x1x1",
    "se.fc1.bias 2",
    "se.fc2.weight 4x2x1x1",
    "se.fc2.bias 4",
  ]);
  const weights = parameters.filter(({ kind }) => kind === "filter");
  for (const { init, shape } of weights) expect([...new Set(init(shape, createRng(1)))]).toEqual([3]);
  const bound = { "se.fc1.bias": 1 / Math.sqrt(4), "se.fc2.bias": 1 / Math.sqrt(2) };
  for (const [name, largest] of Object.entries(bound)) {
    const values = parameters.find((spec) => spec.name === name)!.init([1000], createRng(1));
    const seen = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(seen / largest).toBeGreaterThan(0.95);
    expect(seen / largest).toBeLessThanOrEqual(1);
  }
});
