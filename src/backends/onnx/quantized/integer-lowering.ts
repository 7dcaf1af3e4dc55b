import { mustGet } from "../../../base/assert.ts";
import { averagedImage, byteOperands, byteSource } from "../../../graph/passes/byte-flow.ts";
import type { ByteCode, IntegerLayer, QuantizationPlan } from "../../../graph/quantization.ts";
import { isOp, type Value } from "../../../graph/value.ts";
import type { Lowering } from "../lowering.ts";
import { elementType, type ModelWriter } from "../model-writer.ts";

const microsoft = { domain: "com.microsoft" } as const;

/** Writes the values of a quantisation plan as bytes, each once. */
export class IntegerLowering {
  readonly #plan: QuantizationPlan;
  readonly #bytes = new Map<Value, string>();

  constructor(plan: QuantizationPlan) {
    this.#plan = plan;
  }

  /** The value in float32, where integer kernels have computed it; undefined where float32 operators do. */
  inFloat(value: Value, lowering: Lowering): string | undefined {
    const layer = this.#plan.layers.get(value);
    if (layer !== undefined && isOp(layer.product, "matmul")) return this.#product(layer, lowering);
    if (!this.#isInteger(value)) return undefined;
    const bytes = this.bytes(value, lowering);
    return lowering.writer.op("DequantizeLinear", [bytes, ...code(lowering.writer, this.codeOf(value))]);
  }

  /** The value as bytes of its code. */
  bytes(value: Value, lowering: Lowering): string {
    const known = this.#bytes.get(value);
    if (known !== undefined) return known;
    const { writer } = lowering;
    const bytes = this.#isInteger(value)
      ? this.#integers(value, lowering)
      : writer.op("QuantizeLinear", [lowering.plain(value), ...code(writer, this.codeOf(value))]);
    this.#bytes.set(value, bytes);
    return bytes;
  }

  /** What pools and reshapes give has the code of what they got. */
  codeOf(value: Value): ByteCode {
    return mustGet(this.#plan.codes, byteSource(value), "code of a value");
  }

  #isInteger(value: Value): boolean {
    const { codes, layers } = this.#plan;
    if (!codes.has(byteSource(value))) return false;
    const layer = layers.get(value);
    if (layer !== undefined) return isOp(layer.product, "conv2d");
    const sources = byteOperands(value);
    return sources?.every((source) => codes.has(byteSource(source))) ?? false;
  }

  #integers(value: Value, lowering: Lowering): string {
    const { writer } = lowering;
    const layer = this.#plan.layers.get(value);
    if (layer !== undefined && isOp(layer.product, "conv2d")) return this.#convolution(value, layer, lowering);
    const sources = byteOperands(value) ?? [];
    const names = sources.map((source) => this.bytes(source, lowering));
    const operands = sources.map((source, i) => [names[i]!, ...code(writer, this.codeOf(source))]);
    const result = code(writer, this.codeOf(value));
    if (isOp(value, "maxPool2d")) {
      const { kernel, strides, pads } = value.attrs;
      return writer.op("MaxPool", [names[0]!], { kernel_shape: kernel, strides, pads });
    }
    if (isOp(value, "reshape")) {
      return writer.reshape(names[0]!, [lowering.isBatched(value) ? 0 : value.shape[0]!, ...value.shape.slice(1)]);
    }
    if (isOp(value, "concat")) {
      return writer.op("QLinearConcat", [...result, ...operands.flat()], { axis: value.attrs.axis }, microsoft);
    }
    if (isOp(value, "channelAffine")) {
      const [image, [gate, ...gateCode]] = operands as [string[], [string, string, string]];
      const spread = writer.reshape(gate, [0, value.shape[1]!, 1, 1]);
      return writer.op("QLinearMul", [...image, spread, ...gateCode, ...result], {}, microsoft);
    }
    if (averagedImage(value) !== undefined) {
      const mean = writer.op("QLinearGlobalAveragePool", [...operands.flat(), ...result], {}, microsoft);
      return writer.reshape(mean, [0, value.shape[1]!]);
    }
    return writer.op("QLinearAdd", [...operands.flat(), ...result], {}, microsoft);
  }

  /** Saturation at the ends of the bytes is the activation. */
  #convolution(value: Value, { product, weights, scales, bias }: IntegerLayer, lowering: Lowering): string {
    const { writer } = lowering;
    const { strides, pads, dilations, groups } = (product as Value<"conv2d">).attrs;
    const [x, weight] = product.operands as [Value, Value];
    const operands = [
      this.bytes(x, lowering),
      ...code(writer, this.codeOf(x)),
      writer.bytes(weight.shape, weights),
      writer.floats([scales.length], scales),
      writer.bytes([scales.length], new Int8Array(scales.length)),
      ...code(writer, this.codeOf(value)),
      writer.indices(bias),
    ];
    const kernel = weight.shape.slice(2);
    return writer.op("QLinearConv", operands, { strides, pads, dilations, group: groups, kernel_shape: kernel });
  }

  /** Sums of integer products are exact in int32, so nothing is lost behind the last layer of a network. */
  #product({ product, weights, scales, bias }: IntegerLayer, lowering: Lowering): string {
    const { writer } = lowering;
    const [x, weight] = product.operands as [Value, Value];
    const { scale, zeroPoint } = this.codeOf(x);
    const [outputs, inputs] = (product as Value<"matmul">).attrs.transB
      ? [weight.shape[0]!, weight.shape[1]!]
      : [weight.shape[1]!, weight.shape[0]!];
    const columns = (product as Value<"matmul">).attrs.transB ? transposed(weights, outputs, inputs) : weights;
    const zero = writer.byte(zeroPoint);
    const sums = writer.op("MatMulInteger", [this.bytes(x, lowering), writer.bytes([inputs, outputs], columns), zero]);
    const floats = writer.op("Cast", [sums], { to: elementType("float32") });
    const factors = scales.map((factor) => factor * scale);
    const scaled = writer.op("Mul", [floats, writer.floats([outputs], factors)]);
    if (bias.every((term) => term === 0)) return scaled;
    const terms = factors.map((factor, i) => factor * bias[i]!);
    return writer.op("Add", [scaled, writer.floats([outputs], terms)]);
  }
}

function code(writer: ModelWriter, { scale, zeroPoint }: ByteCode): [string, string] {
  return [writer.float(scale), writer.byte(zeroPoint)];
}

function transposed(weights: Int8Array, rows: number, columns: number): Int8Array {
  return weights.map((_, i) => weights[(i % rows) * columns + Math.floor(i / rows)]!);
}
