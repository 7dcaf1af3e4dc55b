import { PipelineError } from "../../../base/errors.ts";
import type { Value } from "../../../graph/value.ts";
import type { AttributeProto, NodeProto } from "../proto/onnx_pb.ts";
import { damagedModel, shown } from "./errors.ts";
import { floatValue, type Item, isKnown } from "./item.ts";
import { type Known, knownOf, toNumber } from "./known.ts";

/** How large the batch is in the file, where it is fixed there, and in the graph that is built. */
export interface BatchSizes {
  readonly file: number | undefined;
  readonly graph: number;
}

export interface OnnxNodeOptions {
  readonly opset: number;
  readonly batch: BatchSizes;
  /** Undefined where an optional operand is left out. */
  readonly operands: readonly (Item | undefined)[];
  /** Whether a value depends on the images. */
  readonly dependsOnInput: (value: Value) => boolean;
}

/** One operation of a file with its operands, as the rules read it. */
export class OnnxNode {
  readonly type: string;
  readonly name: string;
  readonly outputs: readonly string[];
  readonly opset: number;
  readonly batch: BatchSizes;
  readonly operands: readonly (Item | undefined)[];
  readonly dependsOnInput: (value: Value) => boolean;
  readonly #attributes: ReadonlyMap<string, AttributeProto>;

  constructor(node: NodeProto, { opset, batch, operands, dependsOnInput }: OnnxNodeOptions) {
    this.type = node.opType;
    this.name = nodeName(node);
    this.outputs = node.output;
    this.opset = opset;
    this.batch = batch;
    this.operands = operands;
    this.dependsOnInput = dependsOnInput;
    this.#attributes = new Map(node.attribute.map((attribute) => [attribute.name, attribute]));
  }

  /** The form of the operator is one that the closed set can't express. */
  refuse(why: string): never {
    throw new PipelineError("MODEL_UNSUPPORTED", `${this.name}: ${why}`, { details: { why } });
  }

  damaged(why: string): never {
    throw damagedModel(`node ${shown(this.name)} (${this.type}): ${why}`);
  }

  item(index: number): Item {
    return this.operands[index] ?? this.damaged(`operand ${index} is missing`);
  }

  /** A floating-point operand, as a value of the graph. */
  value(index: number): Value {
    const item = this.item(index);
    const value = floatValue(item);
    if (value !== undefined) return value;
    return this.refuse(
      isKnown(item) ? `operand ${index} holds whole numbers` : "Erf is part of no GELU that can be recognised",
    );
  }

  /** An operand whose elements are known now. */
  known(index: number): Known {
    const item = this.item(index);
    return isKnown(item) ? item : this.refuse(`operand ${index} must be constant, but depends on the images`);
  }

  /** Known whole numbers: axes, sizes, places. */
  numbers(index: number): number[] {
    const { kind, data } = this.known(index);
    return kind === "int" ? Array.from(data) : this.damaged(`operand ${index} must hold whole numbers`);
  }

  /** Whole numbers that are an attribute in older versions of the operator and an operand in newer ones. */
  numbersAt(index: number, attribute: string): number[] | undefined {
    return this.operands[index] === undefined ? this.integers(attribute) : this.numbers(index);
  }

  has(attribute: string): boolean {
    return this.#attributes.has(attribute);
  }

  integer(attribute: string, otherwise: number): number {
    const found = this.#attributes.get(attribute);
    return found === undefined ? otherwise : toNumber(found.i);
  }

  integers(attribute: string): number[] | undefined {
    return this.#attributes.get(attribute)?.ints.map(toNumber);
  }

  float(attribute: string, otherwise: number): number {
    return this.#attributes.get(attribute)?.f ?? otherwise;
  }

  floats(attribute: string): number[] | undefined {
    return this.#attributes.get(attribute)?.floats;
  }

  text(attribute: string, otherwise: string): string {
    const found = this.#attributes.get(attribute);
    return found === undefined ? otherwise : new TextDecoder().decode(found.s);
  }

  tensor(attribute: string): Known | undefined {
    const found = this.#attributes.get(attribute)?.t;
    return found === undefined ? undefined : knownOf(found, `${this.name}.${attribute}`);
  }

  /** Two numbers, one for each axis of the image; `otherwise` where the attribute is left out. */
  pair(attribute: string, otherwise: readonly [number, number]): [number, number] {
    const found = this.integers(attribute);
    if (found === undefined) return [...otherwise];
    const [a, b] = found;
    if (found.length !== 2) return this.refuse(`${attribute} [${found}] is not that of an image`);
    if (a! < 1 || b! < 1 || a! > 65_536 || b! > 65_536) return this.damaged(`${attribute} is [${found}]`);
    return [a!, b!];
  }

  /** An axis of `rank`, negative ones counted from the end. */
  axis(axis: number, rank: number): number {
    const found = axis < 0 ? axis + rank : axis;
    return Number.isInteger(found) && found >= 0 && found < rank
      ? found
      : this.damaged(`axis ${axis} is none of ${rank} dimensions`);
  }
}

/** What a node is called: its name, or that of its first result. */
export function nodeName({ name, output }: NodeProto): string {
  return name === "" ? (output[0] ?? "") : name;
}
