// One contestant: the training step of a network as one onnxruntime graph. Arguments: one JSON object
// {network, batch, threads, profilePrefix?}. Answers lines {"steps": k} on its standard input.
import { createInterface } from "node:readline";
import { createOnnxExecutor } from "../../dist/backends/onnx/executor.js";
import { createRng } from "../../dist/base/rng.js";
import { countFlops } from "../../dist/graph/flops.js";
import { buildInferenceGraph, initialWeights, parameterCount } from "../../dist/models/model.js";
import { models } from "../../dist/models/registry.js";
import { sgd } from "../../dist/optim/sgd.js";
import { buildTrainStep, initialState } from "../../dist/training/train-step.js";

const { network, batch, threads, profilePrefix } = JSON.parse(process.argv[2]);

const model = models[network].build({ classes: 10, height: 32, width: 32, dropoutRate: 0, stochasticDepthRate: 0 });
const parameters = model.module.parameters.filter(({ trainable }) => trainable).map(({ name }) => name);
const optimizer = sgd({
  groups: [{ name: "all", parameters, learningRate: 0.01, weightDecay: 5e-4, schedule: () => 1 }],
  momentum: 0.9,
  variant: "nesterov",
});
const options = {
  model,
  optimizer,
  batchSize: batch,
  images: { mean: [0.49, 0.48, 0.45], std: [0.247, 0.243, 0.262] },
  labelSmoothing: 0.1,
};
const rng = createRng(1);
const graph = buildTrainStep(options);
const executor = await createOnnxExecutor({ threads, ...(profilePrefix === undefined ? {} : { profilePrefix }) });
const executable = await executor.compile(graph);
executable.writeState(initialState(options, initialWeights(model, rng)));
const feeds = {
  images: {
    dtype: "uint8",
    shape: [batch, 3, 32, 32],
    data: Uint8Array.from({ length: batch * 3 * 32 * 32 }, () => rng.int(256)),
  },
  labels: { dtype: "int32", shape: [batch], data: Int32Array.from({ length: batch }, (_, i) => i % 10) },
};
let count = 0;

/** Of the network, however a step computes it: outputs, data gradients (none for the images) and weight gradients. */
function trainingFlops() {
  const forward = buildInferenceGraph(model, { batch });
  const first = forward.values.find(({ op }) => op === "conv2d");
  return 3 * countFlops(forward).total - countFlops({ values: [first] }).total;
}

async function step() {
  const scalars = Object.entries(optimizer.scalarsAt(count++)).map(([name, value]) => [
    name,
    { dtype: "float32", shape: [], data: Float32Array.of(value) },
  ]);
  const { loss } = await executable.run({ ...feeds, ...Object.fromEntries(scalars) });
  return loss.data[0];
}

const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

await step();
await step();
answer({ parameters: parameterCount(model), flops: trainingFlops(), device: executor.device });
for await (const line of createInterface({ input: process.stdin })) {
  const ms = [];
  let loss = Number.NaN;
  for (let i = 0; i < JSON.parse(line).steps; i++) {
    const start = performance.now();
    loss = await step();
    ms.push(performance.now() - start);
  }
  answer({ ms, loss });
}
// Writes the profile, where one was asked for.
await executable[Symbol.asyncDispose]();
