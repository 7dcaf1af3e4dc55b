import { PipelineError } from "../base/errors.ts";
import { type Initializer, partialDiracInit, pytorchWeightInit, unitStdInit, zerosInit } from "../nn/initializers.ts";
import { batchNorm } from "../nn/layers/batch-norm.ts";
import { conv2d } from "../nn/layers/conv.ts";
import { linear } from "../nn/layers/linear.ts";
import { activation, dropout, flatten, scaled } from "../nn/layers/pointwise.ts";
import { maxPool2d } from "../nn/layers/pool.ts";
import { type Module, sequential } from "../nn/module.ts";
import { assemble, type Model, type ModelOptions, scaledWidth } from "./model.ts";
import { whiteningFilters } from "./whitening.ts";

export interface AirbenchOptions extends ModelOptions {
  /** Channels of the three blocks; [64, 128, 128] is airbench93. */
  readonly blockWidths?: readonly [number, number, number];
  /** Factor on them. */
  readonly widthFactor?: number;
  /** First layer: "frozen" patch-whitening filters with a trained bias, or an ordinary "trained" convolution. */
  readonly whitening?: "frozen" | "trained";
  /** Epochs in which the bias of the whitening layer is trained. */
  readonly whiteningBiasEpochs?: number;
  /** Training images from which the filters are computed. */
  readonly whiteningSamples?: number;
  readonly whiteningEps?: number;
  /** Identity or PyTorch's default for the first filters of each 3x3 convolution. */
  readonly filterInit?: "dirac" | "random";
  /** PyTorch's default for the head, or that divided by its standard deviation (with logitScale 1 / width: Muon). */
  readonly headInit?: "default" | "unitStd";
  readonly batchNormScale?: "frozen" | "trained";
  readonly batchNormEps?: number;
  /** Share of the old value in the running statistics. */
  readonly batchNormDecay?: number;
  readonly logitScale?: number;
  readonly dropoutRate?: number;
}

/**
 * The network of airbench94 (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498),
 * 1.97 M parameters at the default widths:
 *
 *   whiten   conv2x2 3->24 with bias, GELU
 *   block1..3  conv3x3, max-pool 2, BN, GELU, conv3x3, BN, GELU
 *   max-pool over what is left (3x3 of 32x32), linear without bias, times logitScale
 *
 * Names: whiten.weight, whiten.bias; blockN.conv1.weight, blockN.norm1.*, blockN.conv2.weight, blockN.norm2.*;
 * head.weight.
 * @throws INVALID_ARGUMENT for images that are not square or smaller than 17x17
 */
export function airbench(options: AirbenchOptions): Model {
  const { classes, height = 32, width = 32, blockWidths = [64, 256, 256], widthFactor = 1 } = options;
  const { whitening = "frozen", whiteningBiasEpochs = 3, whiteningSamples = 5000, whiteningEps = 5e-4 } = options;
  const { filterInit = "dirac", headInit = "default", logitScale = 1 / 9, dropoutRate = 0 } = options;
  const { batchNormScale = "frozen", batchNormEps = 1e-12, batchNormDecay = 0.6 } = options;
  if (height !== width || height < 17) {
    throw new PipelineError("INVALID_ARGUMENT", `airbench: images of ${height}x${width} do not suit this network`, {
      remedy: "use square images of at least 17x17, or another model",
    });
  }
  const kernel = 2;
  const whitened = 2 * 3 * kernel * kernel;
  const left = Math.floor((height - kernel + 1) / 8);
  const [w1, w2, w3] = blockWidths.map((channels) => scaledWidth(channels, widthFactor)) as [number, number, number];
  const weightInit: Initializer = filterInit === "dirac" ? partialDiracInit(pytorchWeightInit) : pytorchWeightInit;
  const norm = (name: string, channels: number): Module =>
    batchNorm(name, channels, { scale: batchNormScale, eps: batchNormEps, momentum: 1 - batchNormDecay });
  const block = (name: string, inChannels: number, outChannels: number): Module =>
    sequential(
      conv2d(`${name}.conv1`, { inChannels, outChannels, kernel: 3, padding: 1, weightInit }),
      maxPool2d({ kernel: 2 }),
      norm(`${name}.norm1`, outChannels),
      activation("gelu"),
      conv2d(`${name}.conv2`, { inChannels: outChannels, outChannels, kernel: 3, padding: 1, weightInit }),
      norm(`${name}.norm2`, outChannels),
      activation("gelu"),
    );
  const model = assemble({
    name: "airbench",
    family: "airbench",
    classes,
    height,
    width,
    stages: [
      sequential(
        conv2d("whiten", {
          inChannels: 3,
          outChannels: whitened,
          kernel,
          bias: "trained",
          biasInit: zerosInit,
          weight: whitening,
        }),
        activation("gelu"),
      ),
      block("block1", whitened, w1),
      block("block2", w1, w2),
      block("block3", w2, w3),
    ],
    featureChannels: w3,
    classifier: "head",
    head: sequential(
      maxPool2d({ kernel: left }),
      flatten,
      dropout("head", dropoutRate),
      linear("head", {
        inFeatures: w3,
        outFeatures: classes,
        bias: "none",
        weightInit: headInit === "unitStd" ? unitStdInit(pytorchWeightInit) : pytorchWeightInit,
      }),
      scaled(logitScale),
    ),
  });
  if (whitening === "trained") return model;
  return {
    ...model,
    dataInit: {
      sampleCount: whiteningSamples,
      compute: (images) => ({ "whiten.weight": whiteningFilters(images, { kernel, eps: whiteningEps }) }),
    },
    freezeAfter: { epochs: whiteningBiasEpochs, parameters: ["whiten.bias"] },
  };
}
