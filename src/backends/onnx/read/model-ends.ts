import { PipelineError } from "../../../base/errors.ts";
import { reshape } from "../../../graph/build.ts";
import type { Value } from "../../../graph/value.ts";
import type { NodeProto } from "../proto/onnx_pb.ts";
import { damagedModel, shown, unsupportedModel } from "./errors.ts";
import { toNumber } from "./known.ts";
import type { OnnxFile } from "./onnx-file.ts";

/** ONNX's number of the type. */
const float32 = 1;
/** Height and width that a model may have. */
const maxSide = 4096;

export interface OnnxInput {
  readonly name: string;
  /** Undefined where it is free. */
  readonly batch: number | undefined;
  readonly height: number | undefined;
  readonly width: number | undefined;
  /** Whether the channels stand before or behind height and width. */
  readonly layout: "NCHW" | "NHWC";
}

/** The one input of a file: images of three channels. */
export function imageInput({ inputs }: OnnxFile): OnnxInput {
  const [only] = inputs;
  if (only === undefined || inputs.length > 1) {
    const names = inputs.map(({ name }) => shown(name)).join(", ");
    throw unsupportedModel(`it has ${inputs.length} inputs (${names})`, "export a model whose one input is images");
  }
  const { name, elementType, shape } = only;
  const described = `the input ${shown(name)} of ONNX's type ${elementType} [${shape.map((dim) => dim ?? "?")}]`;
  const isImage = elementType === float32 && shape.length === 4;
  const layout = shape[1] === 3 ? "NCHW" : shape[3] === 3 ? "NHWC" : shape[1] === undefined ? "NCHW" : undefined;
  if (!isImage || layout === undefined) {
    throw unsupportedModel(`${described} is none of images`, "export it for float32 images [N, 3, height, width]");
  }
  const [batch] = shape;
  const [height, width] = layout === "NCHW" ? shape.slice(2) : shape.slice(1, 3);
  if (Math.max(height ?? 1, width ?? 1) > maxSide || (batch ?? 1) > maxSide)
    throw damagedModel(`${described} is too large`);
  return { name, batch, height, width, layout };
}

/** The output that is asked for, else the only one. */
export function chosenOutput({ outputs }: OnnxFile, wanted: string | undefined): string {
  const names = outputs.map(({ name }) => name);
  if (wanted !== undefined && !names.includes(wanted)) {
    throw new PipelineError("INVALID_ARGUMENT", `the model has no output ${shown(wanted)}`, {
      remedy: `name one of ${names.slice(0, 20).map(shown).join(", ")}`,
    });
  }
  if (wanted === undefined && names.length > 1) {
    throw new PipelineError("INVALID_ARGUMENT", `the model has ${names.length} outputs`, {
      remedy: `say which one gives the logits: ${names.slice(0, 20).map(shown).join(", ")}`,
    });
  }
  return wanted ?? names[0]!;
}

/** The nodes that a result needs, in their order. */
export function neededNodes({ nodes }: OnnxFile, target: string): NodeProto[] {
  const names = new Set([target]);
  const kept = nodes.toReversed().filter(({ input, output }) => {
    if (!output.some((name) => names.has(name))) return false;
    for (const name of input) names.add(name);
    return true;
  });
  return kept.reverse();
}

/** A softmax that is left out must be the one over the classes. */
export function checkSoftmax({ attribute }: NodeProto, { shape }: Value): void {
  const found = attribute.find(({ name }) => name === "axis");
  const axis = found === undefined ? -1 : toNumber(found.i);
  if (shape.length === 2 && (axis === 1 || axis === -1)) return;
  throw unsupportedModel(`it ends in a Softmax of [${shape}] over axis ${axis}`, "export the logits, without Softmax");
}

/** The result as [N, classes]; ones behind that are left out. */
export function classLogits(result: Value, batch: number): Value {
  const [n, classes, ...rest] = result.shape;
  if (n !== batch || classes === undefined || classes < 2 || rest.some((dim) => dim !== 1)) {
    throw unsupportedModel(
      `its result [${result.shape}] is none of [${batch}, classes]`,
      "export a classifier of images",
    );
  }
  return reshape(result, [n, classes]);
}

interface Size {
  readonly height: number;
  readonly width: number;
}

/** Of the images: what the file says, or what is given where it leaves that free. */
export function imageSize(
  { name, height, width }: OnnxInput,
  given: Partial<{ [K in keyof Size]: Size[K] | undefined }>,
): Size {
  const side = (what: keyof Size, fixed: number | undefined): number => {
    const wanted = given[what];
    const size = fixed ?? wanted;
    if (size === undefined) {
      throw new PipelineError("INVALID_ARGUMENT", `the input ${shown(name)} leaves its ${what} free`, {
        remedy: `give the ${what} of the images`,
      });
    }
    if ((wanted ?? size) !== size || !Number.isInteger(size) || size < 1 || size > maxSide) {
      throw new PipelineError("INVALID_ARGUMENT", `the ${what} of the images can't be ${wanted}`, {
        remedy: fixed === undefined ? `give 1 to ${maxSide}` : `the model is made for ${fixed}`,
      });
    }
    return size;
  };
  return { height: side("height", height), width: side("width", width) };
}
