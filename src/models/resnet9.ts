import { heNormalInit } from "../nn/initializers.ts";
import { batchNorm } from "../nn/layers/batch-norm.ts";
import { conv2d } from "../nn/layers/conv.ts";
import { linear } from "../nn/layers/linear.ts";
import { activation, dropout, scaled } from "../nn/layers/pointwise.ts";
import { globalAvgPool, maxPool2d } from "../nn/layers/pool.ts";
import { type Module, residual, sequential } from "../nn/module.ts";
import { assemble, type Model, type ModelOptions, scaledWidth } from "./model.ts";

export interface ResNet9Options extends ModelOptions {
  /** Factor on all channel counts. */
  readonly widthFactor?: number;
  /** Before the classifier. */
  readonly dropoutRate?: number;
  readonly logitScale?: number;
}

/**
 * The nine-layer residual network of the DAWNBench entries (Page 2018, "How to train your ResNet"), 6.6 M parameters:
 *
 *   stem    conv3x3 64, BN, ReLU
 *   layer1  conv3x3 128, BN, ReLU, max-pool 2;  + residual of two conv3x3 128, BN, ReLU
 *   layer2  conv3x3 256, BN, ReLU, max-pool 2
 *   layer3  conv3x3 512, BN, ReLU, max-pool 2;  + residual of two conv3x3 512, BN, ReLU
 *   global average pool, linear
 *
 * ReLU and max-pool commute: the pool comes first, so that the ReLU and its gradient run over a quarter of the positions.
 *
 * Names: stem, layer1, layer1.residual.0, layer1.residual.1, layer2, layer3, layer3.residual.0, layer3.residual.1, each
 * with .conv.weight (no bias), .bn.weight, .bn.bias, .bn.running_mean, .bn.running_var; classifier.weight, .bias.
 */
export function resnet9(options: ResNet9Options): Model {
  const { classes, height = 32, width = 32, widthFactor = 1, dropoutRate = 0, logitScale = 1 } = options;
  const [w1, w2, w3, w4] = [64, 128, 256, 512].map((channels) => scaledWidth(channels, widthFactor)) as [
    number,
    number,
    number,
    number,
  ];
  const norm = (name: string, inChannels: number, outChannels: number): Module =>
    sequential(
      conv2d(`${name}.conv`, { inChannels, outChannels, kernel: 3, padding: 1, weightInit: heNormalInit() }),
      batchNorm(`${name}.bn`, outChannels),
    );
  const relu = activation("relu");
  const unit = (...shape: Parameters<typeof norm>): Module => sequential(norm(...shape), relu);
  const pooled = (...shape: Parameters<typeof norm>): Module =>
    sequential(norm(...shape), maxPool2d({ kernel: 2 }), relu);
  const twice = (name: string, channels: number): Module =>
    residual(
      sequential(unit(`${name}.residual.0`, channels, channels), unit(`${name}.residual.1`, channels, channels)),
    );
  return assemble({
    name: "resnet9",
    family: "resnet9",
    classes,
    height,
    width,
    stages: [
      unit("stem", 3, w1),
      sequential(pooled("layer1", w1, w2), twice("layer1", w2)),
      pooled("layer2", w2, w3),
      sequential(pooled("layer3", w3, w4), twice("layer3", w4)),
    ],
    featureChannels: w4,
    classifier: "classifier",
    head: sequential(
      globalAvgPool,
      dropout("classifier", dropoutRate),
      linear("classifier", { inFeatures: w4, outFeatures: classes }),
      scaled(logitScale),
    ),
  });
}
