import { PipelineError } from "../../base/errors.ts";
import type { Classification } from "../../inference/classifier.ts";
import type { Preprocessing } from "../../inference/preprocess.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { isPackedBytes, type PackedBytes } from "../json/compact-json.ts";
import { decodeBase64 } from "../upload.ts";
import type { InferRequest, TensorData } from "./schemas.ts";

/** What an infer request gives for one image: its file, or its pixels at the model's size. */
export type InferImage =
  | { readonly kind: "encoded"; readonly bytes: Uint8Array }
  | { readonly kind: "pixels"; readonly image: Tensor<"uint8"> };

export interface ReadInputOptions {
  readonly preprocessing: Pick<Preprocessing, "height" | "width">;
  readonly maxImages: number;
  readonly maxBytesPerImage: number;
  /** What follows the JSON in the body (binary tensor data extension). */
  readonly binary: Uint8Array;
}

/**
 * The images of the input "images": UINT8 [N, 3, height, width], values 0 to 255, or BYTES [N], an image file each.
 * @throws REQUEST_INVALID, IMAGE_TOO_LARGE
 */
export async function readInput(request: InferRequest, options: ReadInputOptions): Promise<readonly InferImage[]> {
  const [input, ...others] = request.inputs;
  if (input === undefined || others.length > 0 || input.name !== "images") {
    const names = request.inputs.map(({ name }) => quoted(name)).join(", ");
    throw invalid(`expected the one input "images", got ${names}`, "see the model's metadata");
  }
  const [count = 0, ...rest] = input.shape;
  if (count < 1 || count > options.maxImages) {
    throw invalid(`the first dimension is ${count}`, `send 1 to ${options.maxImages} images in a request`);
  }
  const size = input.parameters?.binary_data_size;
  const binary = size === undefined ? undefined : takeBinary(size, options.binary);
  const data = input.data as TensorData | undefined;
  if ((binary === undefined) === (data === undefined)) {
    throw invalid("the input needs either data or the parameter binary_data_size", "send one of them");
  }
  switch (input.datatype) {
    case "UINT8": {
      const { height, width } = options.preprocessing;
      const shape = [3, height, width];
      if (rest.join() !== shape.join()) {
        throw invalid(`the shape is [${input.shape}]`, `send [N, ${shape.join(", ")}]`);
      }
      const length = 3 * height * width;
      const pixels = binary ?? flattenBytes(data!, [count, ...shape]);
      if (pixels.length !== count * length) throw invalid(`got ${pixels.length} values`, `send ${count * length}`);
      return Array.from({ length: count }, (_, n) => ({
        kind: "pixels",
        image: tensor("uint8", shape, pixels.slice(n * length, (n + 1) * length)),
      }));
    }
    case "BYTES": {
      if (rest.length > 0) throw invalid(`the shape is [${input.shape}]`, "send [N]");
      const files =
        binary === undefined ? await decodeBase64(flattenStrings(data!), options.maxBytesPerImage) : splitBytes(binary);
      if (files.length !== count) throw invalid(`got ${files.length} elements`, `send ${count}, as the shape says`);
      return files.map((bytes) => ({ kind: "encoded", bytes }));
    }
    default:
      throw invalid(`the datatype is ${quoted(input.datatype)}`, "send UINT8 pixels or BYTES of image files");
  }
}

const outputNames = ["probabilities", "logits", "labels"] as const;
type OutputName = (typeof outputNames)[number];

export interface OutputTensor {
  readonly name: OutputName;
  readonly datatype: "FP32" | "BYTES";
  readonly shape: number[];
  readonly values: number[] | string[];
  /** In the body behind the JSON instead of in it. */
  readonly binary: boolean;
}

/**
 * The outputs that a request asks for; all of them when it names none.
 * @throws REQUEST_INVALID for an unknown one, and for one that is named twice
 */
export function requestedOutputs(request: InferRequest): readonly { name: OutputName; binary: boolean }[] {
  const byDefault = request.parameters?.binary_data_output === true;
  const named = request.outputs ?? [];
  const wanted = named.length > 0 ? named : outputNames.map((name) => ({ name, parameters: undefined }));
  return wanted.map(({ name, parameters }, index) => {
    const known = outputNames.find((candidate) => candidate === name);
    if (known === undefined) {
      throw invalid(`there is no output ${quoted(name)}`, `ask for ${outputNames.join(", ")}`);
    }
    if (wanted.findIndex((other) => other.name === name) !== index) {
      throw invalid(`the output ${quoted(name)} is asked for twice`, "name each output once");
    }
    const choice = parameters?.binary_data;
    return { name: known, binary: choice === undefined ? byDefault : choice === true };
  });
}

export function outputTensor(
  { name, binary }: { readonly name: OutputName; readonly binary: boolean },
  results: readonly Classification[],
  classCount: number,
): OutputTensor {
  const shape = [results.length, classCount];
  switch (name) {
    case "probabilities":
      return {
        name,
        datatype: "FP32",
        shape,
        values: results.flatMap((r) => Array.from(r.probabilities, Math.fround)),
        binary,
      };
    case "logits":
      return { name, datatype: "FP32", shape, values: results.flatMap((r) => [...r.logits]), binary };
    case "labels":
      return { name, datatype: "BYTES", shape: [results.length], values: results.map((r) => r.label), binary };
    default:
      return name satisfies never;
  }
}

/** Little-endian float32; for BYTES each element after its length in four bytes. */
export function encodeBinary({ datatype, values }: OutputTensor): Uint8Array {
  if (datatype === "FP32") {
    const bytes = Buffer.alloc(4 * values.length);
    values.forEach((value, i) => {
      bytes.writeFloatLE(Number(value), 4 * i);
    });
    return bytes;
  }
  return Buffer.concat(
    values.flatMap((value) => {
      const text = Buffer.from(String(value));
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text.length);
      return [length, text];
    }),
  );
}

function takeBinary(size: string | number | boolean, body: Uint8Array): Uint8Array {
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0 || size !== body.length) {
    throw invalid(
      `binary_data_size is ${typeof size === "number" ? size : quoted(String(size))}, but ${body.length} bytes follow the JSON`,
      "set the header Inference-Header-Content-Length to the length of the JSON",
    );
  }
  return body;
}

/** Values of UINT8 data: flat, or nested as the shape says. */
function flattenBytes(data: TensorData, shape: readonly number[]): Uint8Array {
  const length = shape.reduce((product, size) => product * size, 1);
  if (isPackedBytes(data)) return unpacked(data, shape);
  if (data.length > 0 && !Array.isArray(data[0])) return bytesOf(data, length);
  const out = new Uint8Array(length);
  const [last = 0, ...outer] = [...shape].reverse();
  let at = 0;
  const visit = (values: readonly unknown[], sizes: readonly number[]): void => {
    const [size, ...inner] = sizes;
    if (values.length !== (size ?? last)) {
      throw invalid(`nested data has ${values.length} elements where the shape has ${size ?? last}`, "send flat data");
    }
    if (size === undefined) {
      out.set(bytesOf(values, last), at);
      at += last;
      return;
    }
    for (const value of values) {
      if (!Array.isArray(value)) throw invalid("data is neither flat nor nested as the shape says", "send flat data");
      visit(value, inner);
    }
  };
  visit(data, outer.reverse());
  return out;
}

function unpacked({ bytes, shape: found }: PackedBytes, shape: readonly number[]): Uint8Array {
  if (found.length === 1 || found.join() === shape.join()) return bytes;
  throw invalid(`data is nested as [${found}]`, `send flat data, or nested as [${shape}]`);
}

function bytesOf(values: readonly unknown[], length: number): Uint8Array {
  if (values.length !== length) throw invalid(`data has ${values.length} values`, `send ${length}, as the shape says`);
  const out = new Uint8Array(length);
  for (const [i, value] of values.entries()) {
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 255) {
      throw invalid("data holds something else than whole numbers from 0 to 255", "send UINT8 values");
    }
    out[i] = value;
  }
  return out;
}

function flattenStrings(data: TensorData): readonly string[] {
  return (isPackedBytes(data) ? [data] : data).map((value) => {
    if (typeof value === "string") return value;
    throw invalid("data holds something else than strings", "send image files in base64");
  });
}

function splitBytes(body: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < body.length; ) {
    const length = at + 4 <= body.length ? view.getUint32(at, true) : Number.POSITIVE_INFINITY;
    if (at + 4 + length > body.length) throw invalid("the binary data ends within an element", "check its lengths");
    parts.push(body.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return parts;
}

function invalid(message: string, remedy: string): PipelineError {
  return new PipelineError("REQUEST_INVALID", message, { remedy });
}

/** What a client wrote, in a message: in quotes, by which the log finds it. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 50));
}
