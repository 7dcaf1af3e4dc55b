/** The public API: what a program may build on. Everything else may change without notice. */

import * as ops from "./graph/build.ts";

export { gradients } from "./autodiff/grad.ts";
export { availableDevices, type Device } from "./backends/onnx/devices.ts";
export { createOnnxExecutor, type OnnxExecutorOptions } from "./backends/onnx/executor.ts";
export { exportInferenceModel } from "./backends/onnx/export.ts";
export { loadInferenceModel } from "./backends/onnx/inference-model.ts";
export { createReferenceExecutor } from "./backends/reference/executor.ts";
export { type ErrorCode, errorCodes } from "./base/error-codes.ts";
export { isPipelineError, PipelineError } from "./base/errors.ts";
export { createRng, type Rng } from "./base/rng.ts";
export { type LoadConfigOptions, type LoadedConfig, loadConfig } from "./config/load.ts";
export { type PresetName, presets } from "./config/presets.ts";
export type { Config } from "./config/schema.ts";
export type { ImageDataset, ImageSplit } from "./data/dataset.ts";
export { type LoadDatasetOptions, loadDataset } from "./data/load.ts";
export { createLoader, type Loader, type LoaderOptions } from "./data/loader.ts";
export { type StratifiedSplit, stratifiedSplit } from "./data/split.ts";
export { type ChannelStatistics, channelStatistics } from "./data/statistics.ts";
export { createSyntheticDataset, type SyntheticOptions } from "./data/synthetic.ts";
export type { Augmentation, ImageAugmentation } from "./data/transforms/augmentation.ts";
export { type BatchAugmentationOptions, batchAugmentation } from "./data/transforms/batch-augmentation.ts";
export { mirror, padCrop } from "./data/transforms/crop-flip.ts";
export { decodeImage, type ImageLimits } from "./data/transforms/decode-image.ts";
export { type BundleEvaluation, evaluateBundle } from "./experiments/evaluate-bundle.ts";
export type { Evaluation, ExperimentEvent, TrainingOutcome } from "./experiments/events.ts";
export { type ExperimentOptions, runExperiment } from "./experiments/experiment.ts";
export type { Executable, Executor, InferenceModel } from "./graph/executor.ts";
export { countFlops, type FlopCount } from "./graph/flops.ts";
export { defineGraph, type Graph } from "./graph/graph.ts";
export { printGraph } from "./graph/print.ts";
export type { Value } from "./graph/value.ts";
export { verifyGraph } from "./graph/verify.ts";
export { type Bundle, listBundles, newestBundle, readBundle, writeBundle } from "./inference/bundle.ts";
export type { BundleMetadata } from "./inference/bundle-metadata.ts";
export { type Classification, Classifier } from "./inference/classifier.ts";
export { createWorkerPredictor, type Predictor } from "./inference/predictor.ts";
export { normalise, type Preprocessing } from "./inference/preprocess.ts";
export { type RankedClass, softmax, topK } from "./inference/softmax.ts";
export { type ArchitectureName, architectures, familyDefaults } from "./models/catalogue.ts";
export {
  buildInferenceGraph,
  initialWeights,
  type Model,
  type ModelOptions,
  type Network,
  parameterCount,
} from "./models/model.ts";
export { models } from "./models/registry.ts";
export { batchNorm } from "./nn/layers/batch-norm.ts";
export { conv2d } from "./nn/layers/conv.ts";
export { linear } from "./nn/layers/linear.ts";
export { activation, dropout, flatten, scaled } from "./nn/layers/pointwise.ts";
export { avgPool2d, globalAvgPool, maxPool2d } from "./nn/layers/pool.ts";
export { type Module, residual, sequential } from "./nn/module.ts";
export { adamw } from "./optim/adamw.ts";
export { muon } from "./optim/muon.ts";
export type { Optimizer, ParameterGroup } from "./optim/optimizer.ts";
export {
  constantSchedule,
  cosineSchedule,
  oneCycleSchedule,
  type Schedule,
  stepSchedule,
  triangleSchedule,
  untilStep,
  withWarmup,
} from "./optim/schedules.ts";
export { sgd } from "./optim/sgd.ts";
export { type RunningServer, type ServerOptions, startServer } from "./serving/server.ts";
export type { DType } from "./tensor/dtype.ts";
export { floats, type Named, scalar, type Tensor, tensor, zeros } from "./tensor/tensor.ts";
export { openArtifactStore } from "./tracking/artifacts.ts";
export { RunLogger, type RunLoggerOptions } from "./tracking/run-logger.ts";
export { openSqlStore } from "./tracking/sql/store.ts";
export type { TrackingStore } from "./tracking/store.ts";
export { classificationMetrics } from "./training/classification.ts";
export { logitsOf } from "./training/evaluate.ts";
export type { TrainEvent } from "./training/events.ts";
export { type FitOptions, fit, type TrainResult } from "./training/fit.ts";
export type { ClassificationMetrics } from "./training/metrics.ts";
export { decayGroups } from "./training/parameter-groups.ts";
export type { TestTimeAugmentation } from "./training/test-time-augmentation.ts";
export { buildTrainStep, initialState, type StepOptions } from "./training/train-step.ts";
/** Builders of graph operations. */
export { ops };
