import { heNormalInit, normalInit, zerosInit } from "../nn/initializers.ts";
import { convNorm } from "../nn/layers/conv-norm.ts";
import { linear } from "../nn/layers/linear.ts";
import { activation, dropout } from "../nn/layers/pointwise.ts";
import { globalAvgPool } from "../nn/layers/pool.ts";
import { squeezeExcitation } from "../nn/layers/squeeze-excitation.ts";
import { type Module, residual, sequential } from "../nn/module.ts";
import { roundToEight } from "./channels.ts";
import { assemble, type Model } from "./model.ts";
import { resolveStem, type StemOptions } from "./stem.ts";
import { variantFactories } from "./variants.ts";

export interface MobileNetV3Options extends StemOptions {
  /** In the classifier; 0.2 as published. */
  readonly dropoutRate?: number;
}

/** A row of the paper's tables: kernel, expanded and output channels, squeeze-and-excitation, activation, stride. */
type Row = readonly [kernel: 3 | 5, expanded: number, channels: number, se: "se" | "-", act: Activation, stride: 1 | 2];
type Activation = "relu" | "hardSwish";

interface Variant {
  readonly rows: readonly Row[];
  /** Units of the classifier's hidden layer. */
  readonly hidden: number;
}

/** Tables 1 and 2 of the paper. */
const variants = {
  mobilenet_v3_large: {
    hidden: 1280,
    rows: [
      [3, 16, 16, "-", "relu", 1],
      [3, 64, 24, "-", "relu", 2],
      [3, 72, 24, "-", "relu", 1],
      [5, 72, 40, "se", "relu", 2],
      [5, 120, 40, "se", "relu", 1],
      [5, 120, 40, "se", "relu", 1],
      [3, 240, 80, "-", "hardSwish", 2],
      [3, 200, 80, "-", "hardSwish", 1],
      [3, 184, 80, "-", "hardSwish", 1],
      [3, 184, 80, "-", "hardSwish", 1],
      [3, 480, 112, "se", "hardSwish", 1],
      [3, 672, 112, "se", "hardSwish", 1],
      [5, 672, 160, "se", "hardSwish", 2],
      [5, 960, 160, "se", "hardSwish", 1],
      [5, 960, 160, "se", "hardSwish", 1],
    ],
  },
  mobilenet_v3_small: {
    hidden: 1024,
    rows: [
      [3, 16, 16, "se", "relu", 2],
      [3, 72, 24, "-", "relu", 2],
      [3, 88, 24, "-", "relu", 1],
      [5, 96, 40, "se", "hardSwish", 2],
      [5, 240, 40, "se", "hardSwish", 1],
      [5, 240, 40, "se", "hardSwish", 1],
      [5, 120, 48, "se", "hardSwish", 1],
      [5, 144, 48, "se", "hardSwish", 1],
      [5, 288, 96, "se", "hardSwish", 2],
      [5, 576, 96, "se", "hardSwish", 1],
      [5, 576, 96, "se", "hardSwish", 1],
    ],
  },
} as const satisfies Record<string, Variant>;

type MobileNetV3Name = keyof typeof variants;

/** MobileNetV3 by name. */
export const mobilenetsV3 = variantFactories(variants, mobilenetV3);

const STEM_CHANNELS = 16;
/** Channels of the last convolution, as a multiple of its input's. */
const LAST_EXPANSION = 6;

const weightInit = heNormalInit("fanOut");
const norm = { eps: 1e-3, momentum: 0.01 };

/**
 * MobileNetV3 (Howard et al. 2019) with torchvision's names, shapes and first values, so that its weights fit; at 1000
 * classes mobilenet_v3_large has 5,483,032 parameters, mobilenet_v3_small 2,542,856:
 *
 *   features.0         conv3x3 16 of stride 2, BN, hard-swish
 *   features.1 … .N    inverted residuals: expand 1x1, depthwise, squeeze-and-excitation, project 1x1
 *   features.N+1       conv1x1, BN, hard-swish
 *   global average pool, classifier.0 (linear), hard-swish, dropout, classifier.3 (linear)
 *
 * With a stem of stride 1 the first block with a stride keeps its size too.
 */
function mobilenetV3(name: MobileNetV3Name, options: MobileNetV3Options): Model {
  const { classes, dropoutRate = 0.2 } = options;
  const { height, width, stemStride } = resolveStem(options);
  const { rows, hidden }: Variant = variants[name];
  const unstrided = stemStride === 1 ? rows.findIndex(([, , , , , stride]) => stride === 2) : -1;
  const stages: Module[] = [
    convNorm("features.0", {
      inChannels: 3,
      outChannels: STEM_CHANNELS,
      kernel: 3,
      stride: stemStride,
      norm,
      activation: "hardSwish",
    }),
  ];
  let inChannels = STEM_CHANNELS;
  for (const [index, row] of rows.entries()) {
    const [, , channels, , , stride] = row;
    stages.push(invertedResidual(`features.${stages.length}`, inChannels, row, index === unstrided ? 1 : stride));
    inChannels = channels;
  }
  const featureChannels = LAST_EXPANSION * inChannels;
  stages.push(
    convNorm(`features.${stages.length}`, {
      inChannels,
      outChannels: featureChannels,
      kernel: 1,
      norm,
      activation: "hardSwish",
    }),
  );
  const dense = { weightInit: normalInit(0.01), biasInit: zerosInit };
  return assemble({
    name,
    family: "mobilenet",
    classes,
    height,
    width,
    stages,
    featureChannels,
    classifier: "classifier.3",
    head: sequential(
      globalAvgPool,
      linear("classifier.0", { ...dense, inFeatures: featureChannels, outFeatures: hidden }),
      activation("hardSwish"),
      dropout("classifier", dropoutRate),
      linear("classifier.3", { ...dense, inFeatures: hidden, outFeatures: classes }),
    ),
  });
}

/** Narrow to wide to narrow; added to its input where the shapes agree. No expansion where nothing would be wider. */
function invertedResidual(name: string, inChannels: number, row: Row, stride: 1 | 2): Module {
  const [kernel, expanded, outChannels, se, act] = row;
  const parts: Module[] = [];
  const next = (): string => `${name}.block.${parts.length}`;
  if (expanded !== inChannels)
    parts.push(convNorm(next(), { inChannels, outChannels: expanded, kernel: 1, norm, activation: act }));
  const depthwise = { inChannels: expanded, outChannels: expanded, kernel, stride, groups: expanded };
  parts.push(convNorm(next(), { ...depthwise, norm, activation: act }));
  if (se === "se") {
    const squeeze = { channels: expanded, squeezeChannels: roundToEight(Math.floor(expanded / 4)) };
    parts.push(squeezeExcitation(next(), { ...squeeze, gate: "hardSigmoid", weightInit, biasInit: zerosInit }));
  }
  parts.push(convNorm(next(), { inChannels: expanded, outChannels, kernel: 1, norm }));
  const branch = sequential(...parts);
  return stride === 1 && inChannels === outChannels && row[5] === 1 ? residual(branch) : branch;
}
