/**
 * Import it before anything that loads ONNX Runtime or starts a thread that will: on POSIX systems its library reports
 * its use over the network and writes to the home folder, unless ORT_DISABLE_TELEMETRY is set when it is loaded. Child
 * processes and threads inherit the variable. Who sets it to anything but 1 has asked for the reports.
 */
import { createRequire } from "node:module";
import { isMainThread } from "node:worker_threads";

const [variable, value] = ["ORT_DISABLE_TELEMETRY", "1"] as const;

if (process.env[variable] === undefined) {
  process.env[variable] = value;
  // The environment of a thread is a copy that the library does not see: a thread of a program that embeds this one.
  if (!isMainThread && process.platform !== "win32") setForProcess();
}

function setForProcess(): void {
  const { default: koffi } = createRequire(import.meta.url)("koffi") as { default: typeof import("koffi") };
  koffi.load(null).func("int setenv(const char*, const char*, int)")(variable, value, 1);
}
