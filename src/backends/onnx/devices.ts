import { type ExecFileException, execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { PipelineError } from "../../base/errors.ts";
import { workerUrl } from "../../base/worker-url.ts";

const run = promisify(execFile);

export type Device = "cpu" | "webgpu" | "cuda";
export type DeviceRequest = "auto" | Device;

const remedies: Record<Device, string> = {
  cpu: "reinstall onnxruntime-node",
  cuda: "install onnxruntime-node with its CUDA libraries on a machine with an NVIDIA GPU, or use device cpu",
  webgpu: "webgpu needs a GPU with a Vulkan, Metal or D3D12 driver; use device cpu",
};

/** A graphics driver may take its time. */
const PROBE_TIMEOUT_MS = 60_000;

/**
 * Why a device can't be used, or undefined when a session starts on it. Tried in a process of its own: providers write
 * to standard error as they like, and a broken driver may end the process.
 */
export async function deviceProblem(device: Device): Promise<string | undefined> {
  if (device === "cpu") return undefined;
  const probe = fileURLToPath(workerUrl("workers/device-probe"));
  try {
    const { stdout } = await run(process.execPath, [probe, device], { timeout: PROBE_TIMEOUT_MS });
    return (JSON.parse(stdout) as { problem?: string }).problem;
  } catch (error) {
    const { code, signal, killed } = error as ExecFileException;
    return killed
      ? `no answer within ${PROBE_TIMEOUT_MS / 1000} s`
      : `the driver ended the process (${signal ?? code})`;
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
