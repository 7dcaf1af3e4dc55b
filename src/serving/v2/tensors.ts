import { PipelineError } from "../../base/errors.ts";
import type { Classification } from "../../inference/classifier.ts";
import type { Preprocessing } from "../../inference/preprocess.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { decodeBase64 } from "../upload.ts";
import type { InferRequest } from "./schemas.ts";

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
export function readInput(request: InferRequest, options: ReadInputOptions): readonly InferImage[] {
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
  if ((binary === undefined) === (input.data === undefined)) {
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
      const pixels = binary ?? flattenBytes(input.data!, count * length);
      if (pixels.length !== count * length) throw invalid(`got ${pixels.length} values`, `send ${count * length}`);
      return Array.from({ length: count }, (_, n) => ({
        kind: "pixels",
        image: tensor("uint8", shape, pixels.slice(n * length, (n + 1) * length)),
      }));
    }
    case "BYTES": {
      if (rest.length > 0) throw invalid(`the shape is [${input.shape}]`, "send [N]");
      const files =
        binary === undefined
          ? flattenStrings(input.data!).map((text, index) => decodeBase64(text, index, options.maxBytesPerImage))
          : splitBytes(binary);
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

/** The outputs that a request asks for; all of them when it names none. @throws REQUEST_INVALID for an unknown one */
export function requestedOutputs(request: InferRequest): readonly { name: OutputName; binary: boolean }[] {
  const byDefault = request.parameters?.binary_data_output === true;
  const wanted = request.outputs ?? outputNames.map((name) => ({ name, parameters: undefined }));
  return wanted.map(({ name, parameters }) => {
    const known = outputNames.find((candidate) => candidate === name);
    if (known === undefined) {
      throw invalid(`there is no output ${quoted(name)}`, `ask for ${outputNames.join(", ")}`);
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

function flattenBytes(data: readonly unknown[], length: number): Uint8Array {
  const out = new Uint8Array(length);
  let at = 0;
  const visit = (values: readonly unknown[], depth: number): void => {
    for (const value of values) {
      if (Array.isArray(value) && depth < 4) visit(value, depth + 1);
      else if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 255) {
        if (at < length) out[at] = value;
        at++;
      } else throw invalid("data holds something else than whole numbers from 0 to 255", "send UINT8 values");
    }
  };
  visit(data, 1);
  if (at !== length) throw invalid(`data has ${at} values`, `send ${length}, as the shape says`);
  return out;
}

function flattenStrings(data: readonly unknown[]): readonly string[] {
  return data.map((value) => {
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
