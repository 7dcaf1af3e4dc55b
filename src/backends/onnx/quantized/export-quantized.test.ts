import { expect, it } from "vitest";
import { createRng } from "../../../base/rng.ts";
import * as g from "../../../graph/build.ts";
import { defineGraph } from "../../../graph/graph.ts";
import type { ByteCode, IntegerLayer, QuantizationPlan } from "../../../graph/quantization.ts";
import type { Value } from "../../../graph/value.ts";
import { sizeOf } from "../../../tensor/shape.ts";
import { floatData, floats, type Tensor } from "../../../tensor/tensor.ts";
import { loadInferenceModel } from "../inference-model.ts";
import { exportQuantizedModel } from "./export-quantized.ts";

// Against integers computed here one by one. Scales are powers of two, so that every product of them is exact.
const rng = createRng("exported integers");
const batch = 3;

function roundEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

const saturate = (x: number): number => Math.min(255, Math.max(0, x));

/** Random numbers that are exactly codes. */
function coded(shape: readonly number[], { scale, zeroPoint }: ByteCode) {
  const bytes = Array.from({ length: sizeOf(shape) }, () => rng.int(256));
  return {
    bytes,
    tensor: floats(
      shape,
      Float32Array.from(bytes, (byte) => scale * (byte - zeroPoint)),
    ),
  };
}

async function run(
  inputs: readonly Value<"input">[],
  output: Value,
  plan: QuantizationPlan,
  feeds: Record<string, Tensor>,
): Promise<Float32Array> {
  const graph = defineGraph({ name: "integers", inputs, outputs: { result: output } });
  await using model = await loadInferenceModel(exportQuantizedModel(graph, plan));
  const { result } = await model.run(feeds);
  expect(result!.shape).toEqual(output.shape);
  return floatData(result!);
}

const small = (count: number, most: number): Int8Array =>
  Int8Array.from({ length: count }, () => rng.int(2 * most + 1) - most);

interface ConvCase {
  readonly name: string;
  readonly channels: number;
  readonly outputs: number;
  readonly kernel: number;
  readonly options: g.ConvOptions;
  readonly activation?: "relu" | "relu6";
}

const convolutions: readonly ConvCase[] = [
  { name: "1x1", channels: 5, outputs: 7, kernel: 1, options: {} },
  { name: "3x3 with padding and stride", channels: 4, outputs: 6, kernel: 3, options: { padding: 1, stride: 2 } },
  { name: "3x3 with relu", channels: 3, outputs: 8, kernel: 3, options: { padding: 1 }, activation: "relu" },
  { name: "3x3 with relu6", channels: 3, outputs: 8, kernel: 3, options: { padding: 1 }, activation: "relu6" },
  { name: "grouped 3x3", channels: 8, outputs: 4, kernel: 3, options: { padding: 1, groups: 2 } },
  { name: "depthwise 3x3", channels: 8, outputs: 8, kernel: 3, options: { padding: 1, groups: 8 } },
  {
    name: "depthwise 5x5 with stride",
    channels: 16,
    outputs: 16,
    kernel: 5,
    options: { padding: 2, groups: 16, stride: 2 },
  },
];

it.each(convolutions)("computes a $name convolution as integers do", async (conv) => {
  const { channels, outputs, kernel, options, activation } = conv;
  const { padding = 0, stride = 1, groups = 1 } = options;
  const [height, width] = [9, 7];
  const inCode: ByteCode = { scale: 2 ** -4, zeroPoint: 117 };
  const outCode: ByteCode = {
    scale: activation === "relu6" ? 6 / 256 : 1,
    zeroPoint: activation === undefined ? 120 : 0,
  };
  const scales = Float32Array.from({ length: outputs }, (_, i) => 2 ** -(3 + (i % 3)));
  const perGroup = channels / groups;
  const weights = small(outputs * perGroup * kernel * kernel, 63);
  const bias = Int32Array.from({ length: outputs }, () => rng.int(2000) - 1000);

  const x = g.input("x", "float32", [batch, channels, height, width]);
  const shape = [outputs, perGroup, kernel, kernel];
  const product = g.conv2d(x, g.constant(floats(shape, new Float32Array(weights.length))), options) as Value<"conv2d">;
  const linear = g.channelAffine(
    product,
    g.filled([outputs], 1),
    g.constant(floats([outputs], new Float32Array(outputs))),
  );
  const output = activation === undefined ? linear : g.activation(linear, activation);
  const layer: IntegerLayer = { product, weights, scales, bias };
  const plan = {
    codes: new Map([
      [x as Value, inCode],
      [output, outCode],
    ]),
    layers: new Map([[output, layer]]),
  };
  const given = coded(x.shape, inCode);
  const actual = await run([x], output, plan, { x: given.tensor });

  const [, , outHeight, outWidth] = output.shape as [number, number, number, number];
  const expected = new Float32Array(actual.length);
  let at = 0;
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < outputs; o++) {
      const first = Math.floor(o / (outputs / groups)) * perGroup;
      for (let row = 0; row < outHeight; row++) {
        for (let column = 0; column < outWidth; column++) {
          let sum = bias[o]!;
          for (let c = 0; c < perGroup; c++) {
            for (let tap = 0; tap < kernel * kernel; tap++) {
              const r = row * stride - padding + Math.floor(tap / kernel);
              const k = column * stride - padding + (tap % kernel);
              if (r < 0 || r >= height || k < 0 || k >= width) continue;
              const byte = given.bytes[((n * channels + first + c) * height + r) * width + k]!;
              sum += (byte - inCode.zeroPoint) * weights[(o * perGroup + c) * kernel * kernel + tap]!;
            }
          }
          const factor = Math.fround(Math.fround(inCode.scale * scales[o]!) / Math.fround(outCode.scale));
          const byte = saturate(roundEven(Math.fround(sum * factor)) + outCode.zeroPoint);
          expected[at++] = Math.fround(Math.fround(outCode.scale) * (byte - outCode.zeroPoint));
        }
      }
    }
  }
  expect(new Set(expected).size).toBeGreaterThan(20);
  expect(actual).toEqual(expected);
});

it.each([{ transB: true }, { transB: false }])(
  "computes a matrix product exactly (transB $transB)",
  async ({ transB }) => {
    const [inputs, outputs] = [37, 5];
    const code: ByteCode = { scale: 0.25, zeroPoint: 3 };
    const scales = Float32Array.from({ length: outputs }, (_, i) => 2 ** -i);
    const weights = small(inputs * outputs, 63);
    const bias = Int32Array.from({ length: outputs }, (_, i) => 10 * i);
    const x = g.input("x", "float32", [batch, inputs]);
    const shape = transB ? [outputs, inputs] : [inputs, outputs];
    const product = g.matmul(x, g.constant(floats(shape, new Float32Array(weights.length))), {
      transB,
    }) as Value<"matmul">;
    const layer: IntegerLayer = { product, weights, scales, bias };
    const given = coded(x.shape, code);
    const plan = { codes: new Map([[x as Value, code]]), layers: new Map<Value, IntegerLayer>([[product, layer]]) };
    const actual = await run([x], product, plan, { x: given.tensor });
    const expected = Float32Array.from(actual, (_, i) => {
      const [n, o] = [Math.floor(i / outputs), i % outputs];
      let sum = bias[o]!;
      for (let k = 0; k < inputs; k++) {
        const weight = weights[transB ? o * inputs + k : k * outputs + o]!;
        sum += (given.bytes[n * inputs + k]! - code.zeroPoint) * weight;
      }
      return sum * code.scale * scales[o]!;
    });
    expect(actual).toEqual(expected);
  },
);

const a: ByteCode = { scale: 0.5, zeroPoint: 10 };
const b: ByteCode = { scale: 0.25, zeroPoint: 200 };
const sumCode: ByteCode = { scale: 1, zeroPoint: 90 };

/** Codes of x, y and a result, and what the result is of their numbers. */
async function pointwise(
  make: (x: Value, y: Value) => Value,
  shapes: readonly [readonly number[], readonly number[]],
  expectedAt: (x: Float32Array, y: Float32Array, i: number) => number,
  code = sumCode,
): Promise<void> {
  const x = g.input("x", "float32", shapes[0]);
  const y = g.input("y", "float32", shapes[1]);
  const output = make(x, y);
  const [given, other] = [coded(x.shape, a), coded(y.shape, b)];
  const plan = {
    codes: new Map<Value, ByteCode>([
      [x, a],
      [y, b],
      [output, code],
    ]),
    layers: new Map(),
  };
  const actual = await run([x, y], output, plan, { x: given.tensor, y: other.tensor });
  const expected = Float32Array.from(actual, (_, i) => {
    const exact = expectedAt(given.tensor.data, other.tensor.data, i);
    return code.scale * (saturate(roundEven(exact / code.scale) + code.zeroPoint) - code.zeroPoint);
  });
  // Kernels may round a tie either way.
  const wrong = expected.filter((value, i) => Math.abs(value - actual[i]!) > code.scale);
  const differing = expected.filter((value, i) => value !== actual[i]);
  expect(wrong).toHaveLength(0);
  expect(differing.length).toBeLessThan(0.3 * expected.length);
  expect(new Set(expected).size).toBeGreaterThan(20);
}

const image = [batch, 4, 6, 5];

it("adds images as bytes", () => pointwise(g.add, [image, image], (x, y, i) => x[i]! + y[i]!));

it("adds images as bytes, clipped where a relu follows", () =>
  pointwise(
    (x, y) => g.activation(g.add(x, y), "relu"),
    [image, image],
    (x, y, i) => Math.max(0, x[i]! + y[i]!),
    {
      scale: 1,
      zeroPoint: 0,
    },
  ));

it("multiplies channels by their gate as bytes", () =>
  pointwise(
    (x, y) => g.channelAffine(x, y, g.filled([batch, 4], 0)),
    [image, [batch, 4]],
    (x, y, i) => x[i]! * y[Math.floor(i / 30)]!,
    { scale: 32, zeroPoint: 130 },
  ));

it("puts images behind one another as bytes", () =>
  pointwise(
    (x, y) => g.concat([x, y], 1),
    [image, image],
    (x, y, i) => {
      const [n, channel, place] = [Math.floor(i / 240), Math.floor(i / 30) % 8, i % 30];
      return (channel < 4 ? x : y)[(n * 4 + (channel % 4)) * 30 + place]!;
    },
  ));

it("takes the largest byte of a window, and the mean of an image, within one code", async () => {
  const x = g.input("x", "float32", [batch, 4, 6, 6]);
  const pooled = g.maxPool2d(x, { kernel: 2 });
  const mean = g.globalAvgPool(pooled);
  const code: ByteCode = { scale: 1 / 64, zeroPoint: 100 };
  const codes = new Map<Value, ByteCode>([
    [x, code],
    [mean, code],
  ]);
  const given = coded(x.shape, code);
  const plan = { codes, layers: new Map() };
  const largest = Float32Array.from({ length: batch * 4 * 9 }, (_, i) => {
    const [plane, row, column] = [Math.floor(i / 9), Math.floor(i / 3) % 3, i % 3];
    const taps = [0, 1, 6, 7].map((tap) => given.tensor.data[plane * 36 + 12 * row + 2 * column + tap]!);
    return Math.max(...taps);
  });
  expect(await run([x], pooled, plan, { x: given.tensor })).toEqual(largest);
  const means = await run([x], mean, plan, { x: given.tensor });
  means.forEach((value, i) => {
    const exact = largest.slice(9 * i, 9 * i + 9).reduce((sum, term) => sum + term, 0) / 9;
    expect(Math.abs(value - exact)).toBeLessThanOrEqual(code.scale / 2 + 1e-6);
  });
});

it("leaves everything in float32 where the plan names nothing", async () => {
  const x = g.input("x", "float32", [batch, 4]);
  const weight = floats([2, 4], [1, 2, 3, 4, 0.5, 0.25, 0.125, 1]);
  const output = g.matmul(x, g.constant(weight), { transB: true });
  const values = Float32Array.from({ length: 12 }, (_, i) => i / 3);
  const actual = await run([x], output, { codes: new Map(), layers: new Map() }, { x: floats([batch, 4], values) });
  const expected = Array.from({ length: 6 }, (_, i) => {
    const [n, o] = [i >> 1, i & 1];
    return [0, 1, 2, 3].reduce((sum, k) => sum + values[4 * n + k]! * weight.data[4 * o + k]!, 0);
  });
  expect([...actual]).toEqual(expected.map((value) => expect.closeTo(value, 4)));
});
