import { apply } from "../../../src/graph/build.ts";
import { windowSize } from "../../../src/graph/infer.ts";
import type { ConvAttrs } from "../../../src/graph/ops.ts";
import { normal, type OpCase } from "../op-case.ts";

type Four = readonly [number, number, number, number];

interface Geometry extends ConvAttrs {
  readonly name: string;
  readonly x: Four;
  readonly w: Four;
}

interface GeometryOptions {
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
  readonly groups?: number;
}

function square(name: string, x: Four, w: Four, options: GeometryOptions = {}): Geometry {
  const { stride = 1, padding = Math.floor(w[2] / 2), dilation = 1, groups = 1 } = options;
  return {
    name,
    x,
    w,
    strides: [stride, stride],
    pads: [padding, padding, padding, padding],
    dilations: [dilation, dilation],
    groups,
  };
}

/** Every kind of convolution of the model families, and shapes that fit no block of 8 or 16 channels. */
const geometries: readonly Geometry[] = [
  square("stem 3x3", [3, 3, 8, 8], [16, 3, 3, 3]),
  square("stem 3x3 stride 2, odd size", [2, 3, 15, 15], [24, 3, 3, 3], { stride: 2 }),
  square("stem 7x7 stride 2", [1, 3, 15, 15], [16, 3, 7, 7], { stride: 2 }),
  square("whitening 2x2", [3, 3, 8, 8], [24, 3, 2, 2], { padding: 0 }),
  square("2x2 stride 2", [2, 16, 7, 7], [16, 16, 2, 2], { stride: 2, padding: 0 }),
  square("3x3, 5 to 3 channels", [1, 5, 7, 7], [3, 5, 3, 3]),
  square("3x3, 24 to 40 channels", [3, 24, 7, 7], [40, 24, 3, 3]),
  square("3x3, batch 17", [17, 16, 4, 4], [16, 16, 3, 3]),
  square("3x3, batch 16", [16, 16, 6, 6], [32, 16, 3, 3]),
  square("3x3, batch 32", [32, 16, 4, 4], [16, 16, 3, 3]),
  square("3x3 without padding", [2, 16, 5, 5], [16, 16, 3, 3], { padding: 0 }),
  square("3x3, padding 2", [2, 16, 5, 5], [16, 16, 3, 3], { padding: 2 }),
  square("3x3 on 1x1", [2, 16, 1, 1], [16, 16, 3, 3]),
  square("3x3 stride 2, even size", [2, 16, 8, 8], [32, 16, 3, 3], { stride: 2 }),
  square("3x3 stride 2, odd size", [3, 16, 7, 7], [16, 16, 3, 3], { stride: 2 }),
  square("3x3 stride 2, 5 to 24 channels", [1, 5, 7, 7], [24, 5, 3, 3], { stride: 2 }),
  square("3x3 dilation 2", [2, 16, 9, 9], [16, 16, 3, 3], { padding: 2, dilation: 2 }),
  square("3x3 dilation 2 stride 2", [1, 16, 9, 9], [16, 16, 3, 3], { padding: 2, dilation: 2, stride: 2 }),
  square("5x5, 5 channels", [1, 5, 7, 7], [8, 5, 5, 5]),
  square("1x1, 16 to 32 channels", [2, 16, 5, 5], [32, 16, 1, 1]),
  square("1x1, 40 to 24 channels", [3, 40, 4, 4], [24, 40, 1, 1]),
  square("1x1 on 16x16", [1, 16, 16, 16], [16, 16, 1, 1]),
  square("1x1 stride 2, even size", [2, 16, 8, 8], [32, 16, 1, 1], { stride: 2 }),
  square("1x1 stride 2, odd size", [1, 24, 7, 7], [40, 24, 1, 1], { stride: 2 }),
  square("1x1 on 1x1", [17, 24, 1, 1], [6, 24, 1, 1]),
  square("depthwise 3x3", [2, 16, 7, 7], [16, 1, 3, 3], { groups: 16 }),
  square("depthwise 3x3, 5 channels", [3, 5, 6, 6], [5, 1, 3, 3], { groups: 5 }),
  square("depthwise 3x3 stride 2", [2, 24, 7, 7], [24, 1, 3, 3], { groups: 24, stride: 2 }),
  square("depthwise 3x3 stride 2, even size", [2, 16, 8, 8], [16, 1, 3, 3], { groups: 16, stride: 2 }),
  square("depthwise 5x5", [2, 40, 7, 7], [40, 1, 5, 5], { groups: 40 }),
  square("depthwise 5x5 stride 2", [1, 24, 15, 15], [24, 1, 5, 5], { groups: 24, stride: 2 }),
  square("depthwise with two outputs a channel", [2, 8, 5, 5], [16, 1, 3, 3], { groups: 8 }),
  square("groups of 8", [2, 24, 7, 7], [24, 8, 3, 3], { groups: 3 }),
  square("groups of 16", [2, 32, 6, 6], [32, 16, 3, 3], { groups: 2 }),
  square("groups of 24 stride 2", [1, 48, 7, 7], [48, 24, 3, 3], { groups: 2, stride: 2 }),
  square("groups of 8, batch 16", [16, 24, 7, 7], [24, 8, 3, 3], { groups: 3 }),
  square("groups of 16, batch 16, stride 2", [16, 48, 8, 8], [48, 16, 3, 3], { groups: 3, stride: 2 }),
  square("groups of 24, batch 32", [32, 96, 5, 5], [96, 24, 3, 3], { groups: 4 }),
  square("groups of 48, batch 16, stride 2, odd size", [16, 96, 7, 7], [96, 48, 3, 3], { groups: 2, stride: 2 }),
  square("groups of 8 on 32x32, batch 16", [16, 16, 32, 32], [16, 8, 3, 3], { groups: 2 }),
  square("groups of unequal width", [2, 12, 5, 5], [20, 3, 3, 3], { groups: 4 }),
  {
    name: "asymmetric padding",
    x: [2, 16, 7, 6],
    w: [16, 16, 3, 3],
    strides: [1, 1],
    pads: [0, 1, 2, 1],
    dilations: [1, 1],
    groups: 1,
  },
  {
    name: "asymmetric everything",
    x: [2, 5, 9, 7],
    w: [3, 5, 3, 2],
    strides: [2, 1],
    pads: [1, 0, 0, 2],
    dilations: [1, 2],
    groups: 1,
  },
  square("many channels 3x3", [16, 64, 8, 8], [64, 64, 3, 3]),
  square("many channels 3x3 on 4x4", [16, 128, 4, 4], [64, 128, 3, 3]),
  square("many channels 1x1", [16, 64, 8, 8], [128, 64, 1, 1]),
  square("many channels 3x3 on 32x32", [1, 32, 32, 32], [32, 32, 3, 3]),
];

function casesOf(build: (geometry: Geometry, y: Four) => Omit<OpCase, "title">, suffix: string): OpCase[] {
  return geometries.map((geometry) => {
    const { name, x, w } = geometry;
    const y: Four = [x[0], w[0], ...windowSize([x[2], x[3]], [w[2], w[3]], geometry)];
    const winograd = w[2] === 3 && w[3] === 3 && geometry.groups === 1 && geometry.strides[0] === 1;
    return {
      title: `${name}${suffix}: [${x}] * [${w}]`,
      ...build(geometry, y),
      ...(winograd ? { winograd: true as const } : {}),
    };
  });
}

const attrsOf = ({ strides, pads, dilations, groups }: Geometry): ConvAttrs => ({ strides, pads, dilations, groups });

export const convolutionCases = {
  conv2d: casesOf(
    (geometry) => ({
      inputs: { x: normal(...geometry.x), w: normal(...geometry.w) },
      build: ({ x, w }) => apply("conv2d", [x!, w!], attrsOf(geometry)),
    }),
    "",
  ),
  conv2dInputGrad: casesOf(
    (geometry, y) => ({
      inputs: { dy: normal(...y), w: normal(...geometry.w) },
      build: ({ dy, w }) => apply("conv2dInputGrad", [dy!, w!], { ...attrsOf(geometry), inputShape: geometry.x }),
    }),
    ", input gradient",
  ),
  conv2dWeightGrad: casesOf(
    (geometry, y) => ({
      inputs: { x: normal(...geometry.x), dy: normal(...y) },
      build: ({ x, dy }) => apply("conv2dWeightGrad", [x!, dy!], { ...attrsOf(geometry), weightShape: geometry.w }),
    }),
    ", weight gradient",
  ),
} satisfies Record<string, OpCase[]>;
