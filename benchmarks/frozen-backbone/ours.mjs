// One contestant: the product's feature extractor, or the training step of a head on cached features. Arguments: one
// JSON object {stage, network, batch, size, threads, channels?, rows, folder}. Answers lines {"steps": k}.
import { createInterface } from "node:readline";
import { createOnnxExecutor } from "../../dist/backends/onnx/executor.js";
import { exportInferenceModel } from "../../dist/backends/onnx/export.js";
import { loadInferenceModel } from "../../dist/backends/onnx/inference-model.js";
import { createRng } from "../../dist/base/rng.js";
import { initialWeights, parameterCount } from "../../dist/models/model.js";
import { models } from "../../dist/models/registry.js";
import { frozenTransfer } from "../../dist/models/transfer.js";
import { adamw } from "../../dist/optim/adamw.js";
import { featureBatches } from "../../dist/training/feature-batches.js";
import { createFeatureExtractor } from "../../dist/training/feature-extractor.js";
import { openFeatureTable } from "../../dist/training/feature-table.js";
import { decayGroups } from "../../dist/training/parameter-groups.js";
import { stepFeeds } from "../../dist/training/step-feeds.js";
import { buildTrainStep, initialState } from "../../dist/training/train-step.js";

const { stage, network, batch, size, threads, channels, rows, folder } = JSON.parse(process.argv[2]);
const statistics = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const rng = createRng(1);
const model = models[network].build({ classes: 10, height: size, width: size });
const mode = stage === "RCBAM" ? "RCBAM" : "classifier_only";
const transfer = frozenTransfer(model, { mode, dropoutRate: 0.2, innerChannels: channels });

/** From bytes of 32x32 to features, as training on a frozen network computes them. */
async function extraction() {
  const extractor = await createFeatureExtractor({
    name: network,
    backbone: transfer.backbone,
    weights: initialWeights(model, rng),
    input: model.input,
    preparation: { height: 32, width: 32, ...statistics },
    format: {
      exportModel: exportInferenceModel,
      loadModel: (bytes) => loadInferenceModel(bytes, { threads }),
    },
  });
  const data = Uint8Array.from({ length: batch * 3 * 32 * 32 }, () => rng.int(256));
  const images = { dtype: "uint8", shape: [batch, 3, 32, 32], data };
  return {
    parameters: transfer.backbone.parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    async step() {
      const features = await extractor.run({ images });
      return features[features.length - 1];
    },
  };
}

/** A step of the head: rows of the table on disk, dropout's numbers, gradient and AdamW. */
async function training() {
  const { trained } = transfer;
  const { shape } = trained.input;
  const width = shape.reduce((a, b) => a * b, 1);
  const table = await openFeatureTable({
    directory: folder,
    key: { shape },
    count: rows,
    shape,
    chunkRows: 64,
    compute: async (start, end) => Float32Array.from({ length: (end - start) * width }, () => rng.uniform()),
  });
  const labels = Int32Array.from({ length: rows }, (_, i) => i % 10);
  const batches = featureBatches({ views: [table], labels, batchSize: batch, rng });
  const groups = decayGroups(trained, { learningRate: 1e-3, weightDecay: 1e-2, schedule: () => 1 });
  const optimizer = adamw({ groups });
  const options = { model: trained, optimizer, batchSize: batch, labelSmoothing: 0.1 };
  const graph = buildTrainStep(options);
  const executable = await (await createOnnxExecutor({ threads })).compile(graph);
  executable.writeState(initialState(options, initialWeights(trained, rng)));
  const endless = (async function* () {
    for (let epoch = 0; ; epoch++) yield* batches.epoch(epoch);
  })();
  let count = 0;
  return {
    parameters: parameterCount(trained),
    async step() {
      const { value } = await endless.next();
      const { loss } = await executable.run(stepFeeds(value, count++, { graph, optimizer, rng }));
      return loss.data[0];
    },
  };
}

const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const { parameters, step } = await (stage === "features" ? extraction() : training());
await step();
await step();
answer({ parameters });
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
