import { batchNorm } from "../nn/layers/batch-norm.ts";
import { sameConv } from "../nn/layers/conv-norm.ts";
import { linear } from "../nn/layers/linear.ts";
import { activation, dropout } from "../nn/layers/pointwise.ts";
import { globalAvgPool, maxPool2d } from "../nn/layers/pool.ts";
import { type Module, residual, sequential, sumOf } from "../nn/module.ts";
import { assemble, type Model } from "./model.ts";
import { resolveStem, type StemOptions } from "./stem.ts";
import { variantFactories } from "./variants.ts";

export interface ResNetOptions extends StemOptions {
  /** Before the classifier; 0 as published. */
  readonly dropoutRate?: number;
  /** Size of the first filters: 7 as published, 3 as is customary for small images (other weights than published). */
  readonly stemKernel?: 3 | 7;
}

interface Variant {
  readonly block: keyof typeof blocks;
  /** Blocks in each stage. */
  readonly stages: readonly number[];
}

/** Table 1 of the paper. */
const variants = {
  resnet18: { block: "basic", stages: [2, 2, 2, 2] },
  resnet50: { block: "bottleneck", stages: [3, 4, 6, 3] },
} as const satisfies Record<string, Variant>;

type ResNetName = keyof typeof variants;

/** The residual networks by name. */
export const resnets = variantFactories(variants, resnet);

const relu = activation("relu");

/**
 * Residual networks (He et al. 2016) with torchvision's names, shapes and first values, so that its weights fit
 * (its bottleneck has the stride at the 3x3 convolution). Parameters at 1000 classes: resnet18 11,689,512, resnet50
 * 25,557,032.
 *
 *   conv1, bn1              conv7x7 64 of stride 2, BN, ReLU; max-pool 3 of stride 2
 *   layer1.0 … layer4.N     residual blocks; layer2 to layer4 halve the image, `downsample` fits the shortcut
 *   global average pool, dropout, fc (linear)
 *
 * A stem of stride 1 leaves out the max-pool too.
 */
function resnet(name: ResNetName, options: ResNetOptions): Model {
  const { classes, dropoutRate = 0, stemKernel = 7 } = options;
  const { height, width, stemStride } = resolveStem(options);
  const { block, stages }: Variant = variants[name];
  const { expansion, branch } = blocks[block];
  const body: Module[] = [
    sequential(
      sameConv("conv1", { inChannels: 3, outChannels: 64, kernel: stemKernel, stride: stemStride }),
      batchNorm("bn1", 64),
      relu,
      ...(stemStride === 1 ? [] : [maxPool2d({ kernel: 3, stride: 2, padding: 1 })]),
    ),
  ];
  let inChannels = 64;
  for (const [stage, count] of stages.entries()) {
    const channels = 64 * 2 ** stage;
    const blocksOfStage: Module[] = [];
    for (let index = 0; index < count; index++) {
      const shape = { inChannels, channels, stride: stage > 0 && index === 0 ? 2 : 1 };
      const at = `layer${stage + 1}.${index}`;
      blocksOfStage.push(residualBlock(at, branch(at, shape), { ...shape, outChannels: channels * expansion }));
      inChannels = channels * expansion;
    }
    body.push(sequential(...blocksOfStage));
  }
  return assemble({
    name,
    family: "resnet",
    classes,
    height,
    width,
    stages: body,
    featureChannels: inChannels,
    classifier: "fc",
    head: sequential(
      globalAvgPool,
      dropout("fc", dropoutRate),
      linear("fc", { inFeatures: inChannels, outFeatures: classes }),
    ),
  });
}

interface BlockShape {
  readonly inChannels: number;
  /** Of the convolutions inside. */
  readonly channels: number;
  readonly stride: number;
}

const blocks = {
  basic: { expansion: 1, branch: basicBranch },
  bottleneck: { expansion: 4, branch: bottleneckBranch },
};

function basicBranch(name: string, { inChannels, channels, stride }: BlockShape): Module {
  return sequential(
    sameConv(`${name}.conv1`, { inChannels, outChannels: channels, kernel: 3, stride }),
    batchNorm(`${name}.bn1`, channels),
    relu,
    sameConv(`${name}.conv2`, { inChannels: channels, outChannels: channels, kernel: 3 }),
    batchNorm(`${name}.bn2`, channels),
  );
}

function bottleneckBranch(name: string, { inChannels, channels, stride }: BlockShape): Module {
  const outChannels = channels * blocks.bottleneck.expansion;
  return sequential(
    sameConv(`${name}.conv1`, { inChannels, outChannels: channels, kernel: 1 }),
    batchNorm(`${name}.bn1`, channels),
    relu,
    sameConv(`${name}.conv2`, { inChannels: channels, outChannels: channels, kernel: 3, stride }),
    batchNorm(`${name}.bn2`, channels),
    relu,
    sameConv(`${name}.conv3`, { inChannels: channels, outChannels, kernel: 1 }),
    batchNorm(`${name}.bn3`, outChannels),
  );
}

/** ReLU of the branch plus its input, which a 1x1 convolution fits where the shapes differ. */
function residualBlock(name: string, branch: Module, shape: BlockShape & { readonly outChannels: number }): Module {
  const { inChannels, outChannels, stride } = shape;
  if (stride === 1 && inChannels === outChannels) return sequential(residual(branch), relu);
  const shortcut = sequential(
    sameConv(`${name}.downsample.0`, { inChannels, outChannels, kernel: 1, stride }),
    batchNorm(`${name}.downsample.1`, outChannels),
  );
  return sequential(sumOf(branch, shortcut), relu);
}
