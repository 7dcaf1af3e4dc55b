import { concat } from "../graph/build.ts";
import { heNormalInit, zerosInit } from "../nn/initializers.ts";
import { batchNorm } from "../nn/layers/batch-norm.ts";
import { sameConv } from "../nn/layers/conv-norm.ts";
import { linear } from "../nn/layers/linear.ts";
import { activation, dropout } from "../nn/layers/pointwise.ts";
import { avgPool2d, globalAvgPool, maxPool2d } from "../nn/layers/pool.ts";
import { type Module, sequential } from "../nn/module.ts";
import { assemble, type Model } from "./model.ts";
import { resolveStem, type StemOptions } from "./stem.ts";
import { variantFactories } from "./variants.ts";

export interface DenseNetOptions extends StemOptions {
  /** Before the classifier; 0 as published. */
  readonly dropoutRate?: number;
  /** Size of the first filters: 7 as published, 3 as is customary for small images (other weights than published). */
  readonly stemKernel?: 3 | 7;
}

interface Variant {
  /** Channels that each layer adds. */
  readonly growth: number;
  /** Layers in each block. */
  readonly blocks: readonly number[];
  readonly stemChannels: number;
}

/** Table 1 of the paper; densenet161 as the authors published it (growth 48). */
const variants = {
  densenet121: { growth: 32, blocks: [6, 12, 24, 16], stemChannels: 64 },
  densenet161: { growth: 48, blocks: [6, 12, 36, 24], stemChannels: 96 },
  densenet169: { growth: 32, blocks: [6, 12, 32, 32], stemChannels: 64 },
  densenet201: { growth: 32, blocks: [6, 12, 48, 32], stemChannels: 64 },
} as const satisfies Record<string, Variant>;

type DenseNetName = keyof typeof variants;

/** The densely connected networks by name. */
export const densenets = variantFactories(variants, densenet);

/** Channels between the two convolutions of a layer, as a multiple of the growth. */
const BOTTLENECK = 4;

const relu = activation("relu");
const weightInit = heNormalInit("fanIn");

/**
 * Densely connected networks (Huang et al. 2017; the form with bottlenecks and halving transitions) with torchvision's
 * names, shapes and first values, so that its weights fit. Parameters at 1000 classes: densenet121 7,978,856,
 * densenet169 14,149,480, densenet201 20,013,928, densenet161 28,681,000.
 *
 *   features.conv0, .norm0             conv7x7 of stride 2, BN, ReLU; max-pool 3 of stride 2
 *   features.denseblockI.denselayerJ   BN, ReLU, conv1x1, BN, ReLU, conv3x3 of everything before it in the block
 *   features.transitionI               BN, ReLU, conv1x1 to half the channels, average pool 2
 *   features.norm5, ReLU, global average pool, dropout, classifier (linear)
 *
 * A stem of stride 1 leaves out the max-pool too.
 */
function densenet(name: DenseNetName, options: DenseNetOptions): Model {
  const { classes, dropoutRate = 0, stemKernel = 7 } = options;
  const { height, width, stemStride } = resolveStem(options);
  const { growth, blocks, stemChannels }: Variant = variants[name];
  const stages: Module[] = [
    sequential(
      sameConv("features.conv0", {
        weightInit,
        inChannels: 3,
        outChannels: stemChannels,
        kernel: stemKernel,
        stride: stemStride,
      }),
      batchNorm("features.norm0", stemChannels),
      relu,
      ...(stemStride === 1 ? [] : [maxPool2d({ kernel: 3, stride: 2, padding: 1 })]),
    ),
  ];
  let channels = stemChannels;
  for (const [index, layers] of blocks.entries()) {
    const block: Module[] = [];
    for (let layer = 1; layer <= layers; layer++) {
      block.push(denseLayer(`features.denseblock${index + 1}.denselayer${layer}`, channels, growth));
      channels += growth;
    }
    const last = index === blocks.length - 1;
    const end = last
      ? sequential(batchNorm("features.norm5", channels), relu)
      : transition(`features.transition${index + 1}`, channels);
    stages.push(sequential(...block, end));
    channels = last ? channels : channels / 2;
  }
  return assemble({
    name,
    family: "densenet",
    classes,
    height,
    width,
    stages,
    featureChannels: channels,
    classifier: "classifier",
    head: sequential(
      globalAvgPool,
      dropout("classifier", dropoutRate),
      linear("classifier", { inFeatures: channels, outFeatures: classes, biasInit: zerosInit }),
    ),
  });
}

/** [N, C, H, W] -> [N, C + growth, H, W]: the input and, behind it, the new channels. */
function denseLayer(name: string, channels: number, growth: number): Module {
  const hidden = BOTTLENECK * growth;
  const branch = sequential(
    batchNorm(`${name}.norm1`, channels),
    relu,
    sameConv(`${name}.conv1`, { inChannels: channels, outChannels: hidden, kernel: 1, weightInit }),
    batchNorm(`${name}.norm2`, hidden),
    relu,
    sameConv(`${name}.conv2`, { inChannels: hidden, outChannels: growth, kernel: 3, weightInit }),
  );
  return { ...branch, forward: (x, ctx) => concat([x, branch.forward(x, ctx)], 1) };
}

function transition(name: string, channels: number): Module {
  return sequential(
    batchNorm(`${name}.norm`, channels),
    relu,
    sameConv(`${name}.conv`, { inChannels: channels, outChannels: channels / 2, kernel: 1, weightInit }),
    avgPool2d({ kernel: 2 }),
  );
}
