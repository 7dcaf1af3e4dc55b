import { PipelineError } from "../../../base/errors.ts";

/** The error of a file that breaks the rules of ONNX: what is wrong with it. */
export function damagedModel(why: string, cause?: unknown): PipelineError {
  return new PipelineError("MODEL_DAMAGED", `the file is no sound ONNX model: ${why}`, {
    remedy: "export it again, and check it with onnx.checker.check_model",
    cause,
  });
}

/** The error of a sound file that asks for what the closed set of operations does not have. */
export function unsupportedModel(why: string, remedy: string, details: Readonly<Record<string, unknown>> = {}) {
  return new PipelineError("MODEL_UNSUPPORTED", `the ONNX model cannot be read: ${why}`, { remedy, details });
}

/** A text of the file, short enough for a message. */
export function shown(text: string): string {
  return JSON.stringify(text.length <= 80 ? text : `${text.slice(0, 77)}...`);
}
