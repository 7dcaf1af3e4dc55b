import { sessionProblem } from "../backends/onnx/device-session.ts";
import type { Device } from "../backends/onnx/devices.ts";

/** Process that tries one device, named by its argument, and says on standard output what is wrong with it. */
process.stdout.write(JSON.stringify({ problem: await sessionProblem(process.argv[2] as Device) }));
