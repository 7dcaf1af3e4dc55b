import * as g from "../../../src/graph/build.ts";
import { windowSize } from "../../../src/graph/infer.ts";
import type { OpAttrs, PoolAttrs } from "../../../src/graph/ops.ts";
import { distinct, fixed, levels, normal, type OpCase, uniform } from "../op-case.ts";

type Four = readonly [number, number, number, number];

interface PoolGeometry extends PoolAttrs {
  readonly x: Four;
}

function pool(x: Four, kernel: number, stride: number, padding = 0): PoolGeometry {
  return {
    x,
    kernel: [kernel, kernel],
    strides: [stride, stride],
    pads: [padding, padding, padding, padding],
  };
}

const pools: readonly PoolGeometry[] = [
  pool([2, 16, 8, 8], 2, 2),
  pool([3, 5, 7, 7], 2, 2),
  pool([2, 24, 7, 7], 3, 2, 1),
  pool([1, 3, 8, 8], 3, 2, 1),
  pool([2, 16, 6, 6], 3, 3),
  pool([2, 16, 4, 4], 4, 4),
  pool([2, 5, 5, 5], 3, 1, 1),
  { x: [2, 16, 6, 7], kernel: [2, 3], strides: [2, 1], pads: [1, 0, 0, 1] },
];

const attrsOf = ({ kernel, strides, pads }: PoolGeometry): PoolAttrs => ({ kernel, strides, pads });
const outOf = (geometry: PoolGeometry): Four => [
  geometry.x[0],
  geometry.x[1],
  ...windowSize([geometry.x[2], geometry.x[3]], geometry.kernel, geometry),
];
const titleOf = ({ x, kernel, strides, pads }: PoolGeometry): string =>
  `[${x}] by ${kernel}, strides ${strides}, pads ${pads}`;

const tiedPools: readonly PoolGeometry[] = [pool([2, 16, 8, 8], 2, 2), pool([2, 5, 7, 7], 3, 2, 1)];

function maxPoolGradOf(geometry: PoolGeometry): OpCase["build"] {
  const attrs = attrsOf(geometry);
  return ({ x, dy }) => g.apply("maxPool2dGrad", [x!, g.apply("maxPool2d", [x!], attrs), dy!], attrs);
}

const channelShapes: readonly Four[] = [
  [2, 5, 7, 7],
  [3, 16, 4, 4],
  [1, 24, 5, 3],
  [17, 32, 2, 2],
  [2, 3, 1, 1],
];

interface Sampling extends Pick<OpAttrs["affineSample"], "height" | "width"> {
  readonly name: string;
  readonly theta: readonly number[];
}

/** Two samples each; no sampled position lies on a tie of `nearest`, but whole pixels are wanted exactly. */
const samplings: readonly Sampling[] = [
  { name: "identity", height: 6, width: 8, theta: [1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0] },
  { name: "mirror", height: 6, width: 8, theta: [-1, 0, 0, 0, 1, 0, 1, 0, 0, 0, -1, 0] },
  {
    name: "shift by whole pixels",
    height: 6,
    width: 8,
    theta: [1, 0, 2 * (2 / 7), 0, 1, 2 * (-1 / 5), 1, 0, 2 * (-3 / 7), 0, 1, 2 * (2 / 5)],
  },
  {
    name: "rotate and scale",
    height: 6,
    width: 8,
    theta: [0.83, -0.41, 0.07, 0.37, 0.91, -0.05, 1.31, 0.53, 0.11, -0.47, 1.23, 0.03],
  },
  {
    name: "far outside",
    height: 5,
    width: 4,
    theta: [2.31, 0.2, 1.7, -0.3, 2.57, -2.1, 1.9, 0.1, -3.3, 0.23, 1.1, 1.13],
  },
  {
    name: "enlarge",
    height: 11,
    width: 9,
    theta: [0.71, 0, 0.013, 0, 0.67, 0.017, 0.9, 0.05, 0.029, 0.03, 0.8, 0.021],
  },
];

const sampleModes = (["nearest", "bilinear"] as const).flatMap((mode) =>
  (["zeros", "reflect"] as const).map((border) => ({ mode, border })),
);

const resizes: readonly (readonly [Four, number, number])[] = [
  [[2, 3, 4, 4], 7, 9],
  [[1, 5, 8, 8], 3, 5],
  [[2, 16, 7, 7], 14, 14],
  [[2, 3, 5, 5], 5, 5],
  [[1, 3, 1, 1], 4, 4],
  [[1, 3, 8, 8], 33, 31],
];

/** Image, places, and how far these reach; 1 is the image's edge. */
const grids: readonly (readonly [Four, number, number, number])[] = [
  [[2, 3, 6, 8], 5, 7, 1],
  [[3, 1, 4, 4], 9, 3, 1.6],
  [[1, 5, 1, 1], 4, 4, 2],
];

export const imageCases = {
  channelAffine: channelShapes.flatMap((shape): OpCase[] => [
    {
      title: `[${shape}] by channel`,
      inputs: { x: normal(...shape), scale: normal(shape[1]), bias: normal(shape[1]) },
      build: ({ x, scale, bias }) => g.channelAffine(x!, scale!, bias!),
    },
    {
      title: `[${shape}] by sample and channel`,
      inputs: { x: normal(...shape), scale: normal(shape[0], shape[1]), bias: normal(shape[0], shape[1]) },
      build: ({ x, scale, bias }) => g.channelAffine(x!, scale!, bias!),
    },
  ]),
  spatialDot: channelShapes.flatMap((shape): OpCase[] => [
    {
      title: `of two [${shape}]`,
      inputs: { x: normal(...shape), y: normal(...shape) },
      build: ({ x, y }) => g.spatialDot(x!, y!),
    },
    {
      title: `of [${shape}] and itself, over the batch`,
      inputs: { x: normal(...shape) },
      build: ({ x }) => g.reduceSum(g.spatialDot(x!, x!), [0]),
    },
  ]),
  maxPool2d: pools.map((geometry) => ({
    title: titleOf(geometry),
    inputs: { x: distinct(...geometry.x) },
    build: ({ x }) => g.apply("maxPool2d", [x!], attrsOf(geometry)),
  })),
  maxPool2dGrad: [
    ...pools.map((geometry) => ({
      title: titleOf(geometry),
      inputs: { x: distinct(...geometry.x), dy: normal(...outOf(geometry)) },
      build: maxPoolGradOf(geometry),
      wrt: [],
    })),
    ...tiedPools.map((geometry) => ({
      title: `ties, the first of a window takes all: ${titleOf(geometry)}`,
      inputs: { x: levels(3, ...geometry.x), dy: normal(...outOf(geometry)) },
      build: maxPoolGradOf(geometry),
      wrt: [],
    })),
  ],
  avgPool2d: pools.map((geometry) => ({
    title: titleOf(geometry),
    inputs: { x: normal(...geometry.x) },
    build: ({ x }) => g.apply("avgPool2d", [x!], attrsOf(geometry)),
  })),
  avgPool2dGrad: pools.map((geometry) => ({
    title: titleOf(geometry),
    inputs: { dy: normal(...outOf(geometry)) },
    build: ({ dy }) => g.apply("avgPool2dGrad", [dy!], { ...attrsOf(geometry), inputShape: geometry.x }),
  })),
  affineSample: samplings.flatMap(({ name, height, width, theta }) =>
    sampleModes.map(
      ({ mode, border }): OpCase => ({
        title: `${name}, ${mode}, ${border}`,
        inputs: { x: normal(2, 3, 6, 8), theta: fixed([2, 2, 3], theta) },
        build: ({ x, theta: matrix }) => g.affineSample(x!, matrix!, { height, width, mode, border }),
        wrt: [],
      }),
    ),
  ),
  gridSample: grids.map(
    ([shape, height, width, reach]): OpCase => ({
      title: `[${shape}] at ${height}x${width} places up to ${reach}`,
      inputs: { x: normal(...shape), grid: uniform(-reach, reach, shape[0], height, width, 2) },
      build: ({ x, grid }) => g.gridSample(x!, grid!),
      wrt: [],
    }),
  ),
  lookup: (
    [
      [2, 3, 5, 7],
      [1, 1, 1, 1],
    ] as const
  ).map(
    (shape): OpCase => ({
      title: `[${shape}]`,
      inputs: { x: levels(256, ...shape), table: normal(shape[0], shape[1], 256) },
      build: ({ x, table }) => g.lookup(g.cast(x!, "uint8"), table!),
      wrt: [],
    }),
  ),
  resize: resizes.map(([shape, height, width]) => ({
    title: `[${shape}] to ${height}x${width}`,
    inputs: { x: normal(...shape) },
    build: ({ x }) => g.resize(x!, height, width),
  })),
  resizeGrad: resizes.map(([shape, height, width]) => ({
    title: `[${shape}] to ${height}x${width}`,
    inputs: { dy: normal(shape[0], shape[1], height, width) },
    build: ({ dy }) => g.apply("resizeGrad", [dy!], { inputShape: shape }),
  })),
} satisfies Record<string, OpCase[]>;
