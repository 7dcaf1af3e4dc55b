import "../../base/no-telemetry.ts";

/** The one import of ONNX Runtime. */
export * as ort from "onnxruntime-node";
