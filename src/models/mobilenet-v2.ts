import { normalInit, zerosInit } from "../nn/initializers.ts";
import { batchNorm } from "../nn/layers/batch-norm.ts";
import { convNorm, sameConv } from "../nn/layers/conv-norm.ts";
import { linear } from "../nn/layers/linear.ts";
import { dropout } from "../nn/layers/pointwise.ts";
import { globalAvgPool } from "../nn/layers/pool.ts";
import { type Module, residual, sequential } from "../nn/module.ts";
import { roundToEight } from "./channels.ts";
import { assemble, type Model } from "./model.ts";
import { resolveStem, type StemOptions } from "./stem.ts";

export interface MobileNetV2Options extends StemOptions {
  /** Factor on all channel counts, rounded to multiples of 8 as in torchvision. */
  readonly widthFactor?: number;
  /** Before the classifier; 0.2 as published. */
  readonly dropoutRate?: number;
}

/** Table 2 of the paper: expansion, output channels, blocks, stride of the first block. */
const stages = [
  { expansion: 1, channels: 16, blocks: 1, stride: 1 },
  { expansion: 6, channels: 24, blocks: 2, stride: 2 },
  { expansion: 6, channels: 32, blocks: 3, stride: 2 },
  { expansion: 6, channels: 64, blocks: 4, stride: 2 },
  { expansion: 6, channels: 96, blocks: 3, stride: 1 },
  { expansion: 6, channels: 160, blocks: 3, stride: 2 },
  { expansion: 6, channels: 320, blocks: 1, stride: 1 },
] as const;

/** Index of the stage that a stem of stride 1 deprives of its stride. */
const UNSTRIDED_STAGE = 1;

/**
 * MobileNetV2 (Sandler et al. 2018), 3,504,872 parameters at 1000 classes, with torchvision's names, shapes and first
 * values, so that its weights fit:
 *
 *   features.0           conv3x3 32, BN, ReLU6
 *   features.1 … .17     inverted residuals: expand 1x1, depthwise 3x3, project 1x1 (without activation)
 *   features.18          conv1x1 1280, BN, ReLU6
 *   global average pool, dropout, classifier.1 (linear)
 *
 * With a stem of stride 1 the second stage keeps its size too.
 */
export function mobilenetV2(options: MobileNetV2Options): Model {
  const { classes, widthFactor = 1, dropoutRate = 0.2 } = options;
  const { height, width, stemStride } = resolveStem(options);
  const stem = roundToEight(32 * widthFactor);
  const features: Module[] = [
    convNorm("features.0", { inChannels: 3, outChannels: stem, kernel: 3, stride: stemStride, activation: "relu6" }),
  ];
  let inChannels = stem;
  for (const [index, { expansion, channels, blocks, stride }] of stages.entries()) {
    const outChannels = roundToEight(channels * widthFactor);
    const firstStride = stemStride === 1 && index === UNSTRIDED_STAGE ? 1 : stride;
    for (let block = 0; block < blocks; block++) {
      features.push(
        invertedResidual(`features.${features.length}`, {
          inChannels,
          outChannels,
          expansion,
          stride: block === 0 ? firstStride : 1,
        }),
      );
      inChannels = outChannels;
    }
  }
  const head = roundToEight(1280 * Math.max(1, widthFactor));
  features.push(
    convNorm(`features.${features.length}`, { inChannels, outChannels: head, kernel: 1, activation: "relu6" }),
  );
  return assemble({
    name: "mobilenet_v2",
    family: "mobilenet",
    classes,
    height,
    width,
    stages: features,
    featureChannels: head,
    classifier: "classifier.1",
    head: sequential(
      globalAvgPool,
      dropout("classifier", dropoutRate),
      linear("classifier.1", {
        inFeatures: head,
        outFeatures: classes,
        weightInit: normalInit(0.01),
        biasInit: zerosInit,
      }),
    ),
  });
}

interface InvertedResidualShape {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly expansion: number;
  readonly stride: number;
}

/** Narrow to wide to narrow; added to its input where the shapes agree. No expansion where its factor is 1. */
function invertedResidual(name: string, { inChannels, outChannels, expansion, stride }: InvertedResidualShape): Module {
  const hidden = inChannels * expansion;
  const expand =
    expansion === 1
      ? []
      : [convNorm(`${name}.conv.0`, { inChannels, outChannels: hidden, kernel: 1, activation: "relu6" })];
  const at = expand.length;
  const depthwise = { inChannels: hidden, outChannels: hidden, kernel: 3, stride, groups: hidden };
  const branch = sequential(
    ...expand,
    convNorm(`${name}.conv.${at}`, { ...depthwise, activation: "relu6" }),
    sameConv(`${name}.conv.${at + 1}`, { inChannels: hidden, outChannels, kernel: 1 }),
    batchNorm(`${name}.conv.${at + 2}`, outChannels),
  );
  return stride === 1 && inChannels === outChannels ? residual(branch) : branch;
}
