import * as g from "../../../src/graph/build.ts";
import { labels, normal, type OpCase, uniform } from "../op-case.ts";

const flags = [
  [false, false],
  [false, true],
  [true, false],
  [true, true],
] as const;

export const linearCases = {
  matmul: [
    ...flags.flatMap(([transA, transB]): OpCase[] => [
      {
        title: `[4, 7] x [7, 5], transA=${transA} transB=${transB}`,
        inputs: { a: transA ? normal(7, 4) : normal(4, 7), b: transB ? normal(5, 7) : normal(7, 5) },
        build: ({ a, b }) => g.matmul(a!, b!, { transA, transB }),
      },
      {
        title: `3 of [2, 5] x [5, 4], transA=${transA} transB=${transB}`,
        inputs: { a: transA ? normal(3, 5, 2) : normal(3, 2, 5), b: transB ? normal(3, 4, 5) : normal(3, 5, 4) },
        build: ({ a, b }) => g.matmul(a!, b!, { transA, transB }),
      },
    ]),
    {
      title: "classifier [17, 512] x [10, 512]",
      inputs: { x: normal(17, 512), w: normal(10, 512) },
      build: ({ x, w }) => g.matmul(x!, w!, { transB: true }),
    },
    {
      title: "[64, 64] by itself transposed",
      inputs: { x: normal(64, 64) },
      build: ({ x }) => g.matmul(x!, x!, { transB: true }),
    },
  ],
  logSoftmax: [
    { title: "[16, 10]", inputs: { x: normal(16, 10) }, build: ({ x }) => g.logSoftmax(x!) },
    { title: "[1, 100], spread", inputs: { x: uniform(-20, 20, 1, 100) }, build: ({ x }) => g.logSoftmax(x!) },
    { title: "one class", inputs: { x: normal(3, 1) }, build: ({ x }) => g.logSoftmax(x!) },
  ],
  oneHot: [
    { title: "10 classes", inputs: { labels: labels(10, 17) }, build: ({ labels: x }) => g.oneHot(x!, 10) },
    { title: "one label", inputs: { labels: labels(3, 1) }, build: ({ labels: x }) => g.oneHot(x!, 3) },
  ],
} satisfies Record<string, OpCase[]>;
