import { heNormalInit, uniformInit, zerosInit } from "../nn/initializers.ts";
import type { BatchNormOptions } from "../nn/layers/batch-norm.ts";
import { convNorm } from "../nn/layers/conv-norm.ts";
import { linear } from "../nn/layers/linear.ts";
import { dropout } from "../nn/layers/pointwise.ts";
import { globalAvgPool } from "../nn/layers/pool.ts";
import { squeezeExcitation } from "../nn/layers/squeeze-excitation.ts";
import { stochasticDepth } from "../nn/layers/stochastic-depth.ts";
import { type Module, residual, sequential } from "../nn/module.ts";
import { roundToEight } from "./channels.ts";
import { assemble, type Model } from "./model.ts";
import { resolveStem, type StemOptions } from "./stem.ts";
import { variantFactories } from "./variants.ts";

export interface EfficientNetOptions extends StemOptions {
  /** Before the classifier; default: as published, 0.2 to 0.5. */
  readonly dropoutRate?: number;
  /** Of the last block; from block to block it grows from 0. 0.2 as published. */
  readonly stochasticDepthRate?: number;
}

/** "mb": with a depthwise convolution and squeeze-and-excitation. "fused": with one dense convolution instead. */
type Row = readonly [
  kind: "mb" | "fused",
  expansion: number,
  kernel: 3 | 5,
  stride: 1 | 2,
  inChannels: number,
  outChannels: number,
  layers: number,
];

interface Variant {
  readonly rows: readonly Row[];
  readonly dropoutRate: number;
  readonly norm: BatchNormOptions;
  /** Of the last convolution; default: four times its input's. */
  readonly lastChannels?: number;
}

/** Table 1 of the first paper. */
const baseRows: readonly Row[] = [
  ["mb", 1, 3, 1, 32, 16, 1],
  ["mb", 6, 3, 2, 16, 24, 2],
  ["mb", 6, 5, 2, 24, 40, 2],
  ["mb", 6, 3, 2, 40, 80, 3],
  ["mb", 6, 5, 1, 80, 112, 3],
  ["mb", 6, 5, 2, 112, 192, 4],
  ["mb", 6, 3, 1, 192, 320, 1],
];

interface Scaling {
  readonly width: number;
  readonly depth: number;
  readonly dropoutRate: number;
  readonly norm?: BatchNormOptions;
}

/** Compound scaling: channels in multiples of 8, layers rounded up. */
function scaled({ width, depth, dropoutRate, norm = {} }: Scaling): Variant {
  const channels = (count: number): number => roundToEight(count * width);
  const rows = baseRows.map(
    ([kind, expansion, kernel, stride, inChannels, outChannels, layers]): Row => [
      kind,
      expansion,
      kernel,
      stride,
      channels(inChannels),
      channels(outChannels),
      Math.ceil(layers * depth),
    ],
  );
  return { rows, dropoutRate, norm };
}

/** Of the large networks of both papers. */
const largeNorm = { eps: 1e-3 };
const largestNorm = { eps: 1e-3, momentum: 0.01 };

const variants = {
  efficientnet_b0: scaled({ width: 1, depth: 1, dropoutRate: 0.2 }),
  efficientnet_b1: scaled({ width: 1, depth: 1.1, dropoutRate: 0.2 }),
  efficientnet_b2: scaled({ width: 1.1, depth: 1.2, dropoutRate: 0.3 }),
  efficientnet_b3: scaled({ width: 1.2, depth: 1.4, dropoutRate: 0.3 }),
  efficientnet_b4: scaled({ width: 1.4, depth: 1.8, dropoutRate: 0.4 }),
  efficientnet_b5: scaled({ width: 1.6, depth: 2.2, dropoutRate: 0.4, norm: largestNorm }),
  efficientnet_b6: scaled({ width: 1.8, depth: 2.6, dropoutRate: 0.5, norm: largestNorm }),
  efficientnet_b7: scaled({ width: 2, depth: 3.1, dropoutRate: 0.5, norm: largestNorm }),
  efficientnet_v2_s: {
    ...{ dropoutRate: 0.2, norm: largeNorm, lastChannels: 1280 },
    rows: [
      ["fused", 1, 3, 1, 24, 24, 2],
      ["fused", 4, 3, 2, 24, 48, 4],
      ["fused", 4, 3, 2, 48, 64, 4],
      ["mb", 4, 3, 2, 64, 128, 6],
      ["mb", 6, 3, 1, 128, 160, 9],
      ["mb", 6, 3, 2, 160, 256, 15],
    ],
  },
  efficientnet_v2_m: {
    ...{ dropoutRate: 0.3, norm: largeNorm, lastChannels: 1280 },
    rows: [
      ["fused", 1, 3, 1, 24, 24, 3],
      ["fused", 4, 3, 2, 24, 48, 5],
      ["fused", 4, 3, 2, 48, 80, 5],
      ["mb", 4, 3, 2, 80, 160, 7],
      ["mb", 6, 3, 1, 160, 176, 14],
      ["mb", 6, 3, 2, 176, 304, 18],
      ["mb", 6, 3, 1, 304, 512, 5],
    ],
  },
  efficientnet_v2_l: {
    ...{ dropoutRate: 0.4, norm: largeNorm, lastChannels: 1280 },
    rows: [
      ["fused", 1, 3, 1, 32, 32, 4],
      ["fused", 4, 3, 2, 32, 64, 7],
      ["fused", 4, 3, 2, 64, 96, 7],
      ["mb", 4, 3, 2, 96, 192, 10],
      ["mb", 6, 3, 1, 192, 224, 19],
      ["mb", 6, 3, 2, 224, 384, 25],
      ["mb", 6, 3, 1, 384, 640, 7],
    ],
  },
} satisfies Record<string, Variant>;

type EfficientNetName = keyof typeof variants;

/** EfficientNet and EfficientNetV2 by name. */
export const efficientnets = variantFactories(variants, efficientnet);

const weightInit = heNormalInit("fanOut");

/**
 * EfficientNet (Tan and Le 2019) and EfficientNetV2 (2021) with torchvision's names, shapes and first values, so that
 * its weights fit; at 1000 classes efficientnet_b0 has 5,288,548 parameters, efficientnet_v2_s 21,458,488:
 *
 *   features.0           conv3x3 of stride 2, BN, SiLU
 *   features.S.L         block L of stage S; each but the first of a stage is added to its input
 *   features.last        conv1x1, BN, SiLU
 *   global average pool, dropout, classifier.1 (linear)
 *
 * With a stem of stride 1 the first stage with a stride keeps its size too.
 */
function efficientnet(name: EfficientNetName, options: EfficientNetOptions): Model {
  const variant: Variant = variants[name];
  const { rows, norm } = variant;
  const { classes, dropoutRate = variant.dropoutRate, stochasticDepthRate = 0.2 } = options;
  const { height, width, stemStride } = resolveStem(options);
  const unstrided = stemStride === 1 ? rows.findIndex(([, , , stride]) => stride === 2) : -1;
  const total = rows.reduce((sum, [, , , , , , layers]) => sum + layers, 0);
  const stemChannels = rows[0]![4];
  const stem = { inChannels: 3, outChannels: stemChannels, kernel: 3, stride: stemStride };
  const stages: Module[] = [convNorm("features.0", { ...stem, norm, activation: "silu" })];
  let block = 0;
  let channels = stemChannels;
  for (const [index, [kind, expansion, kernel, published, , outChannels, layers]] of rows.entries()) {
    const parts: Module[] = [];
    for (let layer = 0; layer < layers; layer++) {
      const stride = layer > 0 || index === unstrided ? 1 : published;
      const added = channels === outChannels && (layer > 0 || published === 1);
      const at = `features.${index + 1}.${layer}`;
      const shape = { inChannels: channels, outChannels, expansion, kernel, stride };
      const branch = kind === "mb" ? mbConv(at, shape, norm) : fusedMbConv(at, shape, norm);
      const rate = (stochasticDepthRate * block) / total;
      parts.push(added ? residual(sequential(branch, stochasticDepth(`${at}.stochastic_depth`, rate))) : branch);
      channels = outChannels;
      block++;
    }
    stages.push(sequential(...parts));
  }
  const featureChannels = variant.lastChannels ?? 4 * channels;
  const last = { inChannels: channels, outChannels: featureChannels, kernel: 1 };
  stages.push(convNorm(`features.${stages.length}`, { ...last, norm, activation: "silu" }));
  return assemble({
    name,
    family: "efficientnet",
    classes,
    height,
    width,
    stages,
    featureChannels,
    classifier: "classifier.1",
    head: sequential(
      globalAvgPool,
      dropout("classifier", dropoutRate),
      linear("classifier.1", {
        inFeatures: featureChannels,
        outFeatures: classes,
        weightInit: uniformInit(1 / Math.sqrt(classes)),
        biasInit: zerosInit,
      }),
    ),
  });
}

interface BlockShape {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly expansion: number;
  readonly kernel: number;
  readonly stride: number;
}

/** Expand 1x1 (where there is an expansion), depthwise, squeeze-and-excitation, project 1x1. */
function mbConv(name: string, shape: BlockShape, norm: BatchNormOptions): Module {
  const { inChannels, outChannels, expansion, kernel, stride } = shape;
  const expanded = roundToEight(inChannels * expansion);
  const parts: Module[] = [];
  const next = (): string => `${name}.block.${parts.length}`;
  if (expanded !== inChannels) {
    parts.push(convNorm(next(), { inChannels, outChannels: expanded, kernel: 1, norm, activation: "silu" }));
  }
  const depthwise = { inChannels: expanded, outChannels: expanded, kernel, stride, groups: expanded };
  parts.push(convNorm(next(), { ...depthwise, norm, activation: "silu" }));
  parts.push(
    squeezeExcitation(next(), {
      channels: expanded,
      squeezeChannels: Math.max(1, Math.floor(inChannels / 4)),
      activation: "silu",
      weightInit,
      biasInit: zerosInit,
    }),
  );
  parts.push(convNorm(next(), { inChannels: expanded, outChannels, kernel: 1, norm }));
  return sequential(...parts);
}

/** One dense convolution that expands, then project 1x1; without an expansion that convolution alone. */
function fusedMbConv(name: string, shape: BlockShape, norm: BatchNormOptions): Module {
  const { inChannels, outChannels, expansion, kernel, stride } = shape;
  const expanded = roundToEight(inChannels * expansion);
  if (expanded === inChannels) {
    return convNorm(`${name}.block.0`, { inChannels, outChannels, kernel, stride, norm, activation: "silu" });
  }
  return sequential(
    convNorm(`${name}.block.0`, { inChannels, outChannels: expanded, kernel, stride, norm, activation: "silu" }),
    convNorm(`${name}.block.1`, { inChannels: expanded, outChannels, kernel: 1, norm }),
  );
}
