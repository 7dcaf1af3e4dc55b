import * as g from "../../../src/graph/build.ts";
import { type ActivationKind, activationSaves, type BinaryKind, type UnaryKind } from "../../../src/graph/ops.ts";
import type { Value } from "../../../src/graph/value.ts";
import { awayFrom, type CaseInput, distinct, fixed, labels, normal, type OpCase, uniform } from "../op-case.ts";

const unaryDomains: { readonly [K in UnaryKind]: CaseInput } = {
  neg: normal(2, 3, 5),
  exp: normal(7),
  log: uniform(0.2, 4, 3, 5),
  sqrt: uniform(0.2, 4, 24),
  reciprocal: uniform(0.3, 3, 2, 3, 7, 5),
  abs: awayFrom([0], 1, 4, 9),
};

const binaryDomains: { readonly [K in BinaryKind]: readonly [CaseInput, CaseInput] } = {
  add: [normal(3, 5), normal(3, 5)],
  sub: [normal(2, 3, 7, 7), normal(2, 3, 7, 7)],
  mul: [normal(5), normal(5)],
  div: [normal(3, 7), uniform(0.4, 2, 3, 7)],
  max: [uniform(-1, -0.1, 40), uniform(0.1, 1, 40)],
  min: [uniform(-1, -0.1, 3, 8), uniform(0.1, 1, 3, 8)],
};

const kinks: { readonly [K in ActivationKind]: readonly number[] } = {
  relu: [0],
  relu6: [0, 6],
  sigmoid: [],
  tanh: [],
  hardSigmoid: [-3, 3],
  hardSwish: [-3, 3],
  silu: [],
  gelu: [],
};
const activationKinds = Object.keys(kinks) as ActivationKind[];

/** Channel counts and sizes that do not fill a block, and one that does. */
const imageShapes = [
  [2, 5, 7, 7],
  [3, 16, 4, 4],
] as const;

/** The gradient of an activation as an operation of its own: its operands must be a consistent pair of x and y. */
function activationGradOf(kind: ActivationKind, x: Value, dy: Value): Value {
  const saved = activationSaves[kind].map((which) => (which === "x" ? x : g.activation(x, kind)));
  return g.apply("activationGrad", [...saved, dy], { kind });
}

export const elementwiseCases = {
  unary: (Object.keys(unaryDomains) as UnaryKind[]).map((kind) => ({
    title: kind,
    inputs: { x: unaryDomains[kind] },
    build: ({ x }) => g.apply("unary", [x!], { kind }),
  })),
  binary: [
    ...(Object.keys(binaryDomains) as BinaryKind[]).map(
      (kind): OpCase => ({
        title: kind,
        inputs: { a: binaryDomains[kind][0], b: binaryDomains[kind][1] },
        build: ({ a, b }) => g.apply("binary", [a!, b!], { kind }),
      }),
    ),
    ...(["max", "min"] as const).map(
      (kind): OpCase => ({
        title: `${kind} with the winner in either operand`,
        inputs: { a: distinct(2, 6), b: fixed([2, 6], [9, -9, 9, -9, 9, -9, 9, -9, 9, -9, 9, -9]) },
        build: ({ a, b }) => g.apply("binary", [a!, b!], { kind }),
      }),
    ),
    { title: "mul by itself", inputs: { x: normal(3, 4) }, build: ({ x }) => g.mul(x!, x!) },
    { title: "add of scalars", inputs: { a: normal(), b: normal() }, build: ({ a, b }) => g.add(a!, b!) },
  ],
  compare: [
    {
      title: "greater",
      inputs: { a: uniform(-1, 1, 37), b: fixed([37], new Array<number>(37).fill(0.01)) },
      build: ({ a, b }) => g.greater(a!, b!),
    },
    { title: "equal", inputs: { a: distinct(4, 4), b: distinct(4, 4) }, build: ({ a, b }) => g.equal(a!, b!), wrt: [] },
    {
      title: "equal of int32",
      inputs: { a: labels(3, 16), b: labels(3, 16) },
      build: ({ a, b }) => g.equal(a!, b!),
    },
  ],
  activation: activationKinds.flatMap((kind) => [
    ...imageShapes.map(
      (shape): OpCase => ({
        title: `${kind} of [${shape}]`,
        inputs: { x: awayFrom(kinks[kind], 3, ...shape) },
        build: ({ x }) => g.activation(x!, kind),
      }),
    ),
    {
      title: `${kind} of a row, far out`,
      inputs: { x: uniform(-30, 30, 3, 5) },
      build: ({ x }) => g.activation(x!, kind),
      // Saturated: the derivative is below what a finite difference resolves.
      wrt: [],
    } satisfies OpCase,
  ]),
  activationGrad: activationKinds.map((kind) => ({
    title: `gradient of ${kind}`,
    inputs: { x: awayFrom(kinks[kind], 3, 3, 24, 5, 5), dy: normal(3, 24, 5, 5) },
    build: ({ x, dy }) => activationGradOf(kind, x!, dy!),
    wrt: [],
  })),
  cast: [
    {
      title: "labels to float32",
      inputs: { labels: labels(100, 3, 7) },
      build: ({ labels: x }) => g.cast(x!, "float32"),
    },
    {
      title: "float32 to int32 truncates towards zero",
      inputs: { x: fixed([6], [-2.7, -0.5, 0.5, 1.5, 2.999, 1e6]) },
      build: ({ x }) => g.cast(x!, "int32"),
      wrt: [],
    },
    {
      title: "float32 to uint8 and back",
      inputs: { x: fixed([5], [0, 1, 127.9, 128, 255]) },
      build: ({ x }) => g.cast(g.cast(x!, "uint8"), "float32"),
      wrt: [],
    },
    {
      title: "float32 to float16 and back rounds",
      inputs: { x: normal(4, 10) },
      build: ({ x }) => g.cast(g.cast(x!, "float16"), "float32"),
      wrt: [],
    },
  ],
  allReduce: [
    { title: "sum over one process", inputs: { x: normal(3, 5) }, build: ({ x }) => g.exp(g.allReduce(x!, "now")) },
  ],
  stopGradient: [
    {
      title: "one of two ways",
      inputs: { x: normal(3, 5) },
      build: ({ x }) =>
        g.add(g.stopGradient(x!), g.constant({ dtype: "float32", shape: [3, 5], data: new Float32Array(15).fill(2) })),
      wrt: [],
    },
  ],
} satisfies Record<string, OpCase[]>;
