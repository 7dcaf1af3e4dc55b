// One contestant: everything between bytes of 32x32 images and the input of the network, or the network's whole pass.
// Arguments: one JSON object {setting, threads}. Answers lines {"steps": k, "recipe": name or null, "pass": boolean}.
import { createInterface } from "node:readline";
import { createOnnxExecutor } from "../../dist/backends/onnx/executor.js";
import { exportInferenceModel } from "../../dist/backends/onnx/export.js";
import { loadInferenceModel } from "../../dist/backends/onnx/inference-model.js";
import { createRng } from "../../dist/base/rng.js";
import { loadConfig } from "../../dist/config/load.js";
import { configuredAugmentation } from "../../dist/experiments/configured-augmentation.js";
import * as g from "../../dist/graph/build.js";
import { defineGraph } from "../../dist/graph/graph.js";
import { initialWeights } from "../../dist/models/model.js";
import { models } from "../../dist/models/registry.js";
import { frozenTransfer } from "../../dist/models/transfer.js";
import { sgd } from "../../dist/optim/sgd.js";
import { createFeatureExtractor } from "../../dist/training/feature-extractor.js";
import { prepareImages } from "../../dist/training/prepare-images.js";
import { buildTrainStep, initialState } from "../../dist/training/train-step.js";
import { recipes, settings } from "./recipes.mjs";

const { setting, threads } = JSON.parse(process.argv[2]);
const { size, batch, network } = settings[setting];
const source = { height: 32, width: 32 };
const target = { height: size, width: size };
const normalisation = { mean: [0.49, 0.48, 0.45], std: [0.247, 0.243, 0.262] };
const rng = createRng(1);
const images = {
  dtype: "uint8",
  shape: [batch, 3, 32, 32],
  data: Uint8Array.from({ length: batch * 3 * 1024 }, () => rng.int(256)),
};
const labels = { dtype: "int32", shape: [batch], data: Int32Array.from({ length: batch }, (_, i) => i % 10) };
const indices = Int32Array.from({ length: batch }, (_, i) => i);
const model = models[network].build({ classes: 10, ...target, dropoutRate: 0 });
const format = { exportModel: exportInferenceModel, loadModel: (bytes) => loadInferenceModel(bytes, { threads }) };
const executor = await createOnnxExecutor({ threads });

function augmentationOf(recipe) {
  const overrides = Object.entries(recipes[recipe].settings).map(
    ([key, value]) => `augmentation.${key}=${JSON.stringify(value)}`,
  );
  const { config } = loadConfig({ env: {}, overrides: [`dataset.img_size=${size}`, ...overrides] });
  return configuredAugmentation(config, source);
}

/** Bytes to the network's input, of which only the sum comes back. */
async function preparation(augmentation) {
  // In a file the batch is free: any but 1 will do.
  const batchSize = setting === "frozen" ? 2 : batch;
  const { inputs, x } = prepareImages({
    ...{ ...normalisation, ...source, batchSize, target, augmentation: augmentation?.stages },
  });
  const outputs = { loss: g.reduceSum(x, [1, 2, 3]) };
  const used = inputs.filter(({ attrs }) => attrs.name !== "augment/mix_share");
  const graph = defineGraph({ name: "preparation", inputs: used, outputs });
  if (setting === "train") return executor.compile(graph);
  return format.loadModel(await format.exportModel(graph, {}));
}

/** A training step, or the features of the frozen network. */
async function wholePass(augmentation) {
  const prepared = { ...normalisation, ...source, augmentation: augmentation?.stages };
  if (setting === "frozen") {
    const { backbone } = frozenTransfer(model, { mode: "classifier_only", dropoutRate: 0 });
    const weights = initialWeights(model, createRng(2));
    const extractor = await createFeatureExtractor({
      ...{ name: network, backbone, weights, input: target, preparation: prepared, format },
    });
    return { run: async (feeds) => ({ loss: { data: await extractor.run(feeds) } }) };
  }
  const parameters = model.module.parameters.filter(({ trainable }) => trainable).map(({ name }) => name);
  const group = { name: "all", parameters, learningRate: 0.01, weightDecay: 5e-4, schedule: () => 1 };
  const optimizer = sgd({ groups: [group], momentum: 0.9, variant: "nesterov" });
  const options = { model, optimizer, batchSize: batch, images: prepared, labelSmoothing: 0.1 };
  const step = await executor.compile(buildTrainStep(options));
  step.writeState(initialState(options, initialWeights(model, createRng(2))));
  const scalars = Object.entries(optimizer.scalarsAt(0)).map(([name, value]) => [
    name,
    { dtype: "float32", shape: [], data: Float32Array.of(value) },
  ]);
  return { run: (feeds) => step.run({ ...feeds, labels, ...Object.fromEntries(scalars) }) };
}

const ready = new Map();
async function contestantOf({ recipe, pass }) {
  const key = `${recipe} ${pass}`;
  const known = ready.get(key);
  if (known !== undefined) return known;
  const augmentation = recipe === null ? undefined : augmentationOf(recipe);
  const made = { augmentation, run: pass ? await wholePass(augmentation) : await preparation(augmentation) };
  ready.set(key, made);
  return made;
}

let epoch = 0;
async function step({ augmentation, run }) {
  const began = performance.now();
  const drawn = augmentation?.draw({ rng, epoch: epoch++, indices, images: images.data }) ?? {};
  const host = performance.now() - began;
  const feeds = Object.fromEntries(Object.entries(drawn).map(([name, value]) => [`augment/${name}`, value]));
  const { loss } = await run.run({ images, ...feeds });
  return { ms: performance.now() - began, host, loss: loss.data[0] };
}

const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

answer({ device: executor.device });
for await (const line of createInterface({ input: process.stdin })) {
  const { steps, ...question } = JSON.parse(line);
  const fresh = !ready.has(`${question.recipe} ${question.pass}`);
  const contestant = await contestantOf(question);
  if (fresh) await step(contestant);
  const results = [];
  for (let i = 0; i < steps; i++) results.push(await step(contestant));
  answer({ ms: results.map(({ ms }) => ms), host: results.map(({ host }) => host), loss: results.at(-1).loss });
}
