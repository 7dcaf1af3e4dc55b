import * as g from "../../graph/build.ts";
import { heNormalInit } from "../initializers.ts";
import { type Module, sequential } from "../module.ts";
import { channelAttention, gate, spatialAttention } from "./attention.ts";
import { batchNorm } from "./batch-norm.ts";
import { conv2d } from "./conv.ts";
import { activation } from "./pointwise.ts";

export interface RcbamOptions {
  readonly channels: number;
  /** Between the two convolutions; default: as many as outside. */
  readonly innerChannels?: number;
  /** How much narrower the perceptron of channel attention is inside; 16 as published. */
  readonly ratio?: number;
}

/**
 * A residual block with convolutional block attention (CBAM, Woo et al. 2018) whose parts are mixed by learned
 * weights a, b, c, sigmoids of one parameter each:
 *
 *   y = BN(conv3x3(ReLU(BN(conv3x3(x)))))
 *   u = y + a (y * channel attention(y) - y)
 *   v = u + b (u * spatial attention(u) - u)
 *   ReLU(v + c x)
 *
 * Keeps the shape [N, C, H, W]. Names: `NAME.conv1`, `.bn1`, `.conv2`, `.bn2`, `.channel.fc1`, `.channel.fc2`,
 * `.spatial.conv`, `.spatial.bn`, `.channel_gate`, `.spatial_gate`, `.skip_gate`.
 */
export function rcbam(name: string, options: RcbamOptions): Module {
  const { channels, innerChannels = channels, ratio = 16 } = options;
  const convolution = (at: string, inChannels: number, outChannels: number): Module =>
    conv2d(`${name}.${at}`, { inChannels, outChannels, kernel: 3, padding: 1, weightInit: heNormalInit("fanOut") });
  const relu = activation("relu");
  const branch = sequential(
    convolution("conv1", channels, innerChannels),
    batchNorm(`${name}.bn1`, innerChannels),
    relu,
    convolution("conv2", innerChannels, channels),
    batchNorm(`${name}.bn2`, channels),
  );
  const byChannel = channelAttention(`${name}.channel`, { channels, ratio });
  const byPosition = spatialAttention(`${name}.spatial`);
  const channelGate = gate(`${name}.channel_gate`);
  const spatialGate = gate(`${name}.spatial_gate`);
  const skipGate = gate(`${name}.skip_gate`);
  const { parameters, buffers } = sequential(branch, byChannel, byPosition, channelGate, spatialGate, skipGate);
  return {
    parameters,
    buffers,
    forward(x, ctx) {
      const y = branch.forward(x, ctx);
      const channelFactors = g.broadcastTo(byChannel.forward(y, ctx), y.shape, [0, 1]);
      const u = g.add(y, channelGate.forward(g.sub(g.mul(y, channelFactors), y), ctx));
      const [n, , h, w] = u.shape as readonly [number, number, number, number];
      const positionFactors = g.broadcastTo(g.reshape(byPosition.forward(u, ctx), [n, h, w]), u.shape, [0, 2, 3]);
      const v = g.add(u, spatialGate.forward(g.sub(g.mul(u, positionFactors), u), ctx));
      return relu.forward(g.add(v, skipGate.forward(x, ctx)), ctx);
    },
  };
}
