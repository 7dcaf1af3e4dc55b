import { test } from "vitest";
import { createOnnxExecutor } from "../../src/backends/onnx/executor.ts";
import { isPipelineError } from "../../src/base/errors.ts";
import { describeConformance } from "./conformance.ts";

const devices = ["cpu", "webgpu", "cuda"] as const;

for (const device of devices) {
  if (device === "cpu" || (await isPresent(device))) {
    for (const kernels of device === "cpu" ? (["plain", "blocked"] as const) : (["auto"] as const)) {
      describeConformance(`ONNX executor on ${device}, ${kernels} kernels`, () =>
        createOnnxExecutor({ device, kernels, threads: 2 }),
      );
    }
  } else {
    test.skip(`ONNX executor on ${device}: this machine has none`, () => {});
  }
}

async function isPresent(device: "webgpu" | "cuda"): Promise<boolean> {
  try {
    await createOnnxExecutor({ device });
    return true;
  } catch (error) {
    if (isPipelineError(error, "DEVICE_UNAVAILABLE")) return false;
    throw error;
  }
}
