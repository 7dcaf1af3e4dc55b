import * as ort from "onnxruntime-node";
import { PipelineError } from "../../base/errors.ts";
import { ModelWriter } from "./model-writer.ts";

export type Device = "cpu" | "webgpu" | "cuda";
export type DeviceRequest = "auto" | Device;

const remedies: Record<Device, string> = {
  cpu: "reinstall onnxruntime-node",
  cuda: "install onnxruntime-node with its CUDA libraries on a machine with an NVIDIA GPU, or use device cpu",
  webgpu: "webgpu needs a GPU with a Vulkan, Metal or D3D12 driver; use device cpu",
};

/** Why a device can't be used, or undefined when a session starts on it. */
export async function deviceProblem(device: Device): Promise<string | undefined> {
  if (device === "cpu") return undefined;
  const writer = new ModelWriter("device-probe");
  writer.input("x", "float32", [1]);
  writer.alias(writer.op("Neg", ["x"]), "y");
  writer.output("y", "float32", [1]);
  try {
    const session = await ort.InferenceSession.create(writer.finish(), {
      executionProviders: [device],
      logSeverityLevel: 4,
    });
    await session.release();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Devices on which a session starts here, best first. */
export async function availableDevices(): Promise<Device[]> {
  const all: readonly Device[] = ["cuda", "webgpu", "cpu"];
  const problems = await Promise.all(all.map(deviceProblem));
  return all.filter((_, i) => problems[i] === undefined);
}

/**
 * The device that a request means: "auto" takes the first that is present of cuda, webgpu, cpu.
 * @throws DEVICE_UNAVAILABLE with onnxruntime's own reason
 */
export async function chooseDevice(request: DeviceRequest): Promise<Device> {
  if (request === "auto") return (await availableDevices())[0] ?? "cpu";
  const problem = await deviceProblem(request);
  if (problem === undefined) return request;
  throw new PipelineError("DEVICE_UNAVAILABLE", `device ${request} can't be used here (${problem})`, {
    remedy: remedies[request],
  });
}
