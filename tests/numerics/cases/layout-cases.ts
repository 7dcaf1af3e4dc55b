import * as g from "../../../src/graph/build.ts";
import { floats } from "../../../src/tensor/tensor.ts";
import { distinct, labels, normal, type OpCase } from "../op-case.ts";

export const layoutCases = {
  input: [{ title: "identity", inputs: { x: normal(2, 3) }, build: ({ x }) => x! }],
  constant: [
    {
      title: "times a constant",
      inputs: { x: normal(2, 3) },
      build: ({ x }) => g.mul(x!, g.constant(floats([2, 3], [1, -2, 3, 0.5, 1e-3, 7]))),
    },
  ],
  reshape: [
    { title: "flatten an image", inputs: { x: normal(3, 5, 2, 2) }, build: ({ x }) => g.reshape(x!, [3, 20]) },
    { title: "scalar to vector", inputs: { x: normal() }, build: ({ x }) => g.reshape(x!, [1]) },
    {
      title: "split channels into groups",
      inputs: { x: normal(2, 24, 3, 3) },
      build: ({ x }) => g.reshape(x!, [2, 4, 6, 3, 3]),
    },
  ],
  transpose: [
    { title: "matrix", inputs: { x: normal(3, 5) }, build: ({ x }) => g.transpose(x!, [1, 0]) },
    { title: "cycle of four axes", inputs: { x: normal(2, 3, 4, 5) }, build: ({ x }) => g.transpose(x!, [2, 0, 3, 1]) },
    {
      title: "channels last",
      inputs: { x: normal(2, 24, 3, 5) },
      build: ({ x }) => g.transpose(x!, [0, 2, 3, 1]),
    },
  ],
  broadcast: [
    { title: "scalar", inputs: { x: normal() }, build: ({ x }) => g.broadcastTo(x!, [2, 3], []) },
    { title: "row", inputs: { x: normal(5) }, build: ({ x }) => g.broadcastTo(x!, [3, 5], [1]) },
    { title: "column", inputs: { x: normal(3) }, build: ({ x }) => g.broadcastTo(x!, [3, 5], [0]) },
    { title: "channels", inputs: { x: normal(5) }, build: ({ x }) => g.broadcastTo(x!, [2, 5, 3, 3], [1]) },
    {
      title: "samples and channels, in two steps",
      inputs: { x: normal(5) },
      build: ({ x }) => g.broadcastTo(g.broadcastTo(x!, [3, 5], [1]), [3, 5, 2, 4], [0, 1]),
    },
    { title: "outer axes", inputs: { x: normal(3, 4) }, build: ({ x }) => g.broadcastTo(x!, [2, 3, 6, 4], [1, 3]) },
  ],
  concat: [
    {
      title: "channels, unequal parts",
      inputs: { a: normal(2, 3, 5, 5), b: normal(2, 24, 5, 5), c: normal(2, 5, 5, 5) },
      build: ({ a, b, c }) => g.concat([a!, b!, c!], 1),
    },
    {
      title: "rows, one part twice",
      inputs: { a: normal(2, 3), b: normal(4, 3) },
      build: ({ a, b }) => g.concat([a!, b!, a!], 0),
    },
    {
      title: "width",
      inputs: { a: normal(1, 2, 3, 4), b: normal(1, 2, 3, 3) },
      build: ({ a, b }) => g.concat([a!, b!], 3),
    },
    {
      title: "vectors",
      inputs: { a: normal(7), b: normal(1) },
      build: ({ a, b }) => g.concat([a!, b!], 0),
    },
  ],
  slice: [
    { title: "channels", inputs: { x: normal(2, 24, 3, 3) }, build: ({ x }) => g.slice(x!, 1, 5, 17) },
    { title: "last row", inputs: { x: normal(4, 3) }, build: ({ x }) => g.slice(x!, 0, 3, 4) },
    { title: "width", inputs: { x: normal(2, 3, 4, 7) }, build: ({ x }) => g.slice(x!, 3, 0, 6) },
    { title: "labels", inputs: { x: labels(10, 9) }, build: ({ x }) => g.slice(x!, 0, 2, 5) },
  ],
  pad: [
    { title: "height", inputs: { x: normal(2, 3, 4, 5) }, build: ({ x }) => g.pad(x!, 2, 1, 2) },
    { title: "channels behind", inputs: { x: normal(2, 5, 3, 3) }, build: ({ x }) => g.pad(x!, 1, 0, 3) },
    { title: "vector in front", inputs: { x: normal(5) }, build: ({ x }) => g.pad(x!, 0, 2, 0) },
  ],
  flip: [
    { title: "width", inputs: { x: normal(2, 3, 4, 5) }, build: ({ x }) => g.flip(x!, [3]) },
    { title: "kernel taps", inputs: { x: normal(4, 5, 3, 3) }, build: ({ x }) => g.flip(x!, [2, 3]) },
    { title: "rows", inputs: { x: normal(3, 2) }, build: ({ x }) => g.flip(x!, [0]) },
  ],
  reduceSum: [
    { title: "space", inputs: { x: normal(2, 5, 7, 7) }, build: ({ x }) => g.reduceSum(x!, [2, 3]) },
    { title: "space of full blocks", inputs: { x: normal(3, 32, 4, 4) }, build: ({ x }) => g.reduceSum(x!, [2, 3]) },
    { title: "batch", inputs: { x: normal(17, 5) }, build: ({ x }) => g.reduceSum(x!, [0]) },
    { title: "classes", inputs: { x: normal(5, 10) }, build: ({ x }) => g.reduceSum(x!, [1]) },
    { title: "all", inputs: { x: normal(3, 4, 5) }, build: ({ x }) => g.sumAll(x!) },
    { title: "all but channels", inputs: { x: normal(3, 5, 4, 4) }, build: ({ x }) => g.reduceSum(x!, [0, 2, 3]) },
    { title: "channels", inputs: { x: normal(2, 24, 3, 3) }, build: ({ x }) => g.reduceSum(x!, [1]) },
  ],
  reduceMax: [
    { title: "classes", inputs: { x: distinct(5, 10) }, build: ({ x }) => g.reduceMax(x!, [1]) },
    { title: "space", inputs: { x: distinct(2, 5, 3, 3) }, build: ({ x }) => g.reduceMax(x!, [2, 3]) },
    { title: "channels", inputs: { x: distinct(2, 5, 3, 3) }, build: ({ x }) => g.reduceMax(x!, [1]) },
    { title: "all", inputs: { x: distinct(12) }, build: ({ x }) => g.reduceMax(x!, [0]) },
  ],
  argMax: [
    { title: "classes", inputs: { x: distinct(9, 10) }, build: ({ x }) => g.argMax(x!), wrt: [] },
    { title: "vector", inputs: { x: distinct(7) }, build: ({ x }) => g.argMax(x!), wrt: [] },
  ],
} satisfies Record<string, OpCase[]>;
