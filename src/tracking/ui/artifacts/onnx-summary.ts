/** What a reader wants to know of an ONNX file, read from its outermost protobuf fields; weights are not copied. */
export interface OnnxSummary {
  readonly producer: string;
  readonly irVersion: number;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Numbers in all initialisers. */
  readonly weights: number;
  /** Operators and how often they stand there, the most frequent first. */
  readonly operators: readonly (readonly [name: string, count: number])[];
}

/** Field numbers of onnx.proto. */
const model = { irVersion: 1, producerName: 2, graph: 7 } as const;
const graph = { node: 1, initializer: 5, input: 11, output: 12 } as const;
const node = { opType: 4 } as const;
const tensor = { dims: 1 } as const;
const valueInfo = { name: 1 } as const;

/** @throws Error when the bytes are no protobuf message, or only the beginning of one */
export function summariseOnnx(data: Uint8Array): OnnxSummary {
  let producer = "";
  let irVersion = 0;
  let weights = 0;
  const counts = new Map<string, number>();
  const inputs: string[] = [];
  const outputs: string[] = [];
  for (const top of fields(data)) {
    if (top.field === model.irVersion && typeof top.value === "number") irVersion = top.value;
    if (typeof top.value === "number") continue;
    if (top.field === model.producerName) producer = decode(top.value);
    if (top.field !== model.graph) continue;
    for (const { field, value } of fields(top.value)) {
      if (typeof value === "number") continue;
      if (field === graph.node) {
        const name = textOf(value, node.opType);
        counts.set(name, (counts.get(name) ?? 0) + 1);
      } else if (field === graph.initializer) weights += weightCount(value);
      else if (field === graph.input) inputs.push(textOf(value, valueInfo.name));
      else if (field === graph.output) outputs.push(textOf(value, valueInfo.name));
    }
  }
  return { producer, irVersion, inputs, outputs, weights, operators: [...counts].sort((a, b) => b[1] - a[1]) };
}

function notWhole(): Error {
  return new Error("the file is no ONNX model, or not the whole of it: log it again (a git-lfs pointer: git lfs pull)");
}

function decode(part: Uint8Array): string {
  return new TextDecoder().decode(part);
}

function textOf(message: Uint8Array, wanted: number): string {
  for (const { field, value } of fields(message))
    if (field === wanted && typeof value !== "number") return decode(value);
  return "";
}

function weightCount(message: Uint8Array): number {
  let count = 1;
  for (const { field, value } of fields(message)) {
    if (field !== tensor.dims) continue;
    for (const dim of typeof value === "number" ? [value] : varints(value)) count *= dim;
  }
  return count;
}

function* varints(packed: Uint8Array): Generator<number> {
  for (let at = 0; at < packed.length; ) {
    const [value, next] = varint(packed, at);
    yield value;
    at = next;
  }
}

function varint(data: Uint8Array, from: number): [value: number, next: number] {
  let value = 0;
  let scale = 1;
  for (let at = from; at < data.length; at++) {
    value += (data[at]! & 127) * scale;
    if (data[at]! < 128) return [value, at + 1];
    scale *= 128;
  }
  throw notWhole();
}

/** The fields of a protobuf message: numbers, or the bytes of what has a length; those of fixed size are passed over. */
function* fields(message: Uint8Array): Generator<{ field: number; value: number | Uint8Array }> {
  for (let at = 0; at < message.length; ) {
    const [key, start] = varint(message, at);
    const field = Math.floor(key / 8);
    const kind = key % 8;
    if (kind === 0) {
      const [value, next] = varint(message, start);
      yield { field, value };
      at = next;
    } else if (kind === 2) {
      const [length, next] = varint(message, start);
      at = next + length;
      if (at > message.length) throw notWhole();
      yield { field, value: message.subarray(next, at) };
    } else if (kind === 1 || kind === 5) at = start + (kind === 1 ? 8 : 4);
    else throw notWhole();
  }
}
