// The product's transfer learning on prepared images. Argument: one JSON object (see benchmark.mjs). Its one line of
// output is a JSON object.
import { readFileSync } from "node:fs";
import { createOnnxExecutor } from "../../dist/backends/onnx/executor.js";
import { exportInferenceModel } from "../../dist/backends/onnx/export.js";
import { loadInferenceModel } from "../../dist/backends/onnx/inference-model.js";
import { createRng } from "../../dist/base/rng.js";
import { configSchema } from "../../dist/config/schema.js";
import { configuredOptimizer } from "../../dist/experiments/configured-optimizer.js";
import { planTraining } from "../../dist/experiments/training-plan.js";
import { parameterCount } from "../../dist/models/model.js";
import { fit } from "../../dist/training/fit.js";
import { validate } from "../../dist/training/validation.js";

const { mode, folder, weights, threads, size, channels, epochs, seed, recipe } = JSON.parse(process.argv[2]);

function split(name) {
  const labels = Int32Array.from(readFileSync(`${folder}/${name}-labels.bin`));
  return { count: labels.length, height: 32, width: 32, images: readFileSync(`${folder}/${name}-images.bin`), labels };
}

const { batch, learningRate, weightDecay, dropout, labelSmoothing } = recipe;
const config = configSchema.parse({
  // The normalisation x / 127.5 - 1, which these weights were trained with.
  dataset: { source: "synthetic", img_size: size, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  model: {
    name: "mobilenet_v2",
    transfer_mode: mode,
    weights,
    dropout_rate: dropout,
    transfer: { feature_dir: `${folder}/features`, ...(mode === "RCBAM" ? { rcbam_channels: channels } : {}) },
  },
  training: {
    optimizer: "adamw",
    scheduler: "cosine",
    learning_rate: learningRate,
    weight_decay: weightDecay,
    label_smoothing: labelSmoothing,
    batch_size: batch,
    num_epochs: epochs,
    threads,
    seed,
  },
  augmentation: { use_augmentation: false },
});
const classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const train = split("train");
const test = split("test");
const dataset = {
  name: "cifar10",
  synthetic: false,
  origin: "",
  digest: "",
  classes,
  height: 32,
  width: 32,
  train,
  test,
};
const rng = createRng(seed);
const format = {
  exportModel: exportInferenceModel,
  loadModel: (bytes) => loadInferenceModel(bytes, { threads }),
};
const seconds = (since) => (performance.now() - since) / 1000;

let since = performance.now();
const trainIndices = Int32Array.from({ length: train.count }, (_, i) => i);
const plan = await planTraining(
  config,
  { dataset, trainIndices, validation: test, rng },
  { format, signal: new AbortController().signal, onEvent: () => {} },
);
const extraction = seconds(since);

since = performance.now();
const { stepsPerEpoch } = plan.batches;
const training = fit({
  step: {
    model: plan.network,
    optimizer: configuredOptimizer(config, plan, { epochs, stepsPerEpoch }),
    batchSize: batch,
    labelSmoothing,
  },
  executor: await createOnnxExecutor({ threads }),
  rng: rng.split("dropout"),
  initialWeights: plan.initial,
  batches: plan.batches,
  epochs,
  fingerprint: "benchmark",
});
const perEpoch = [];
let result;
while (result === undefined) {
  const { value, done } = await training.next();
  if (done) result = value;
  else if (value.type === "epoch") perEpoch.push({ seconds: value.seconds, loss: value.trainLoss });
}
const head = seconds(since);
const metrics = await validate(plan.network, result.weights, {
  format,
  source: plan.validation,
  labels: test.labels,
  classes,
  batchSize: 100,
});
await plan[Symbol.asyncDispose]();
const parameters = parameterCount(plan.network);
const { accuracy } = metrics;
process.stdout.write(`${JSON.stringify({ parameters, accuracy, extraction, head, perEpoch })}\n`);
