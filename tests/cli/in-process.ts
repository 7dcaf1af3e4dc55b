import { PassThrough } from "node:stream";
import { runCommandLine } from "../../src/cli/program.ts";

/** Runs one command line in this process: for what needs no process of its own. */
export async function cifar(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const out = new PassThrough();
  const err = new PassThrough();
  const code = await runCommandLine({ out, err, interactive: false, env: {}, status: { code: 0 } }, args);
  return { code, out: out.read()?.toString() ?? "", err: err.read()?.toString() ?? "" };
}
