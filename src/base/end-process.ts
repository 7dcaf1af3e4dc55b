import koffi from "koffi";

/**
 * Ends the process at once with this exit code: nothing is tidied up. Unlike process.exit() it does not wait for threads
 * and takes nothing away from under them: a thread inside ONNX Runtime would end the process by an abort.
 */
export function endProcess(code: number): never {
  const library = koffi.load(process.platform === "win32" ? "ucrtbase.dll" : null);
  library.func("void _exit(int)")(code);
  throw new Error("_exit returned");
}
