import type { Device } from "./devices.ts";
import { ModelWriter } from "./model-writer.ts";
import { ort } from "./onnxruntime.ts";

/** Starts a session of one operation on a device. @returns why that fails, or undefined */
export async function sessionProblem(device: Device): Promise<string | undefined> {
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
