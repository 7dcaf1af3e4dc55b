import { heNormalInit, normalInit, zerosInit } from "../nn/initializers.ts";
import { convNorm } from "../nn/layers/conv-norm.ts";
import { linear } from "../nn/layers/linear.ts";
import { activation, dropout } from "../nn/layers/pointwise.ts";
import { globalAvgPool } from "../nn/layers/pool.ts";
import { squeezeExcitation } from "../nn/layers/squeeze-excitation.ts";
import { type Module, residual, sequential, sumOf } from "../nn/module.ts";
import { assemble, type Model } from "./model.ts";
import { type RegNetParameters, regnetStages } from "./regnet-stages.ts";
import { resolveStem, type StemOptions } from "./stem.ts";
import { variantFactories } from "./variants.ts";

export interface RegNetOptions extends StemOptions {
  /** Before the classifier; 0 as published. */
  readonly dropoutRate?: number;
}

/** w_0, w_a, w_m and the group width of the published models, as torchvision states them. */
const variants = {
  regnet_x_400mf: { depth: 22, initialWidth: 24, slope: 24.48, widthRatio: 2.54, groupWidth: 16 },
  regnet_x_800mf: { depth: 16, initialWidth: 56, slope: 35.73, widthRatio: 2.28, groupWidth: 16 },
  regnet_x_1_6gf: { depth: 18, initialWidth: 80, slope: 34.01, widthRatio: 2.25, groupWidth: 24 },
  regnet_x_3_2gf: { depth: 25, initialWidth: 88, slope: 26.31, widthRatio: 2.25, groupWidth: 48 },
  regnet_x_8gf: { depth: 23, initialWidth: 80, slope: 49.56, widthRatio: 2.88, groupWidth: 120 },
  regnet_x_16gf: { depth: 22, initialWidth: 216, slope: 55.59, widthRatio: 2.1, groupWidth: 128 },
  regnet_x_32gf: { depth: 23, initialWidth: 320, slope: 69.86, widthRatio: 2, groupWidth: 168 },
  regnet_y_400mf: { depth: 16, initialWidth: 48, slope: 27.89, widthRatio: 2.09, groupWidth: 8 },
  regnet_y_800mf: { depth: 14, initialWidth: 56, slope: 38.84, widthRatio: 2.4, groupWidth: 16 },
  regnet_y_1_6gf: { depth: 27, initialWidth: 48, slope: 20.71, widthRatio: 2.65, groupWidth: 24 },
  regnet_y_3_2gf: { depth: 21, initialWidth: 80, slope: 42.63, widthRatio: 2.66, groupWidth: 24 },
  regnet_y_8gf: { depth: 17, initialWidth: 192, slope: 76.82, widthRatio: 2.19, groupWidth: 56 },
  regnet_y_16gf: { depth: 18, initialWidth: 200, slope: 106.23, widthRatio: 2.48, groupWidth: 112 },
  regnet_y_32gf: { depth: 20, initialWidth: 232, slope: 115.89, widthRatio: 2.53, groupWidth: 232 },
} satisfies Record<string, RegNetParameters>;

type RegNetName = keyof typeof variants;

/** RegNetX and, with squeeze-and-excitation, RegNetY by name. */
export const regnets = variantFactories(variants, regnet);

const STEM_CHANNELS = 32;
/** Of the channels of a block's input: RegNetY's squeeze. */
const SQUEEZE_RATIO = 0.25;

const relu = activation("relu");

/**
 * RegNetX and RegNetY (Radosavovic et al. 2020) with torchvision's names, shapes and first values, so that its weights
 * fit; regnet_y_400mf has 4,344,144 parameters at 1000 classes, regnet_x_400mf 5,495,976:
 *
 *   stem                                   conv3x3 32 of stride 2, BN, ReLU
 *   trunk_output.blockI.blockI-J           .proj (1x1, J = 0 only) plus .f: a 1x1, b 3x3 in groups, se, c 1x1
 *   global average pool, dropout, fc (linear)
 *
 * A stem of stride 1 takes the stride of the first stage too; the others halve the image.
 */
function regnet(name: RegNetName, options: RegNetOptions): Model {
  const { classes, dropoutRate = 0 } = options;
  const { height, width, stemStride } = resolveStem(options);
  const stages: Module[] = [
    sequential(convNorm("stem", { inChannels: 3, outChannels: STEM_CHANNELS, kernel: 3, stride: stemStride }), relu),
  ];
  let inChannels = STEM_CHANNELS;
  for (const [stage, { blocks, channels, groupWidth }] of regnetStages(variants[name]).entries()) {
    const firstStride = stage === 0 ? stemStride : 2;
    const body: Module[] = [];
    for (let index = 0; index < blocks; index++) {
      const at = `trunk_output.block${stage + 1}.block${stage + 1}-${index}`;
      const squeeze = name.startsWith("regnet_y") ? Math.round(SQUEEZE_RATIO * inChannels) : undefined;
      const stride = index === 0 ? firstStride : 1;
      const shape = { inChannels, outChannels: channels, stride, groups: channels / groupWidth, squeeze };
      // Every stage is published with a stride, so its first block has a projection, whatever the stride is now.
      const branch = bottleneck(`${at}.f`, shape);
      body.push(index === 0 ? sumOf(projection(`${at}.proj`, shape), branch) : residual(branch), relu);
      inChannels = channels;
    }
    stages.push(sequential(...body));
  }
  return assemble({
    name,
    family: "regnet",
    classes,
    height,
    width,
    stages,
    featureChannels: inChannels,
    classifier: "fc",
    head: sequential(
      globalAvgPool,
      dropout("fc", dropoutRate),
      linear("fc", {
        inFeatures: inChannels,
        outFeatures: classes,
        weightInit: normalInit(0.01),
        biasInit: zerosInit,
      }),
    ),
  });
}

interface BlockShape {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly stride: number;
  readonly groups: number;
  /** Channels between the layers of squeeze-and-excitation; none without it. */
  readonly squeeze: number | undefined;
}

/** The branch of a block: a bottleneck of ratio 1, its 3x3 convolution in groups. */
function bottleneck(name: string, { inChannels, outChannels, stride, groups, squeeze }: BlockShape): Module {
  const inner = { inChannels: outChannels, outChannels };
  const squeezed = { channels: outChannels, weightInit: heNormalInit("fanOut") };
  return sequential(
    convNorm(`${name}.a`, { inChannels, outChannels, kernel: 1 }),
    relu,
    convNorm(`${name}.b`, { ...inner, kernel: 3, stride, groups }),
    relu,
    ...(squeeze === undefined ? [] : [squeezeExcitation(`${name}.se`, { ...squeezed, squeezeChannels: squeeze })]),
    convNorm(`${name}.c`, { ...inner, kernel: 1 }),
  );
}

/** Fits a block's input to what is added to it. */
function projection(name: string, { inChannels, outChannels, stride }: BlockShape): Module {
  return convNorm(name, { inChannels, outChannels, kernel: 1, stride });
}
