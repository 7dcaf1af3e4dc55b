// Process of one trial: trains as its specification says, tells what happens on standard output, stops when told to.
// trial-process SPECIFICATION [--owner]: with --owner, the end of standard input means "save and end".
import { runTrial } from "../experiments/run-trial.ts";
import { readTrialSpec } from "../experiments/trial-spec.ts";
import { formatTrialMessage } from "../tuning/trial-message.ts";

const [specFile = "", ...flags] = process.argv.slice(2);
const controller = new AbortController();
const stop = (): void => controller.abort();

process.on("SIGTERM", stop);
if (flags.includes("--owner")) {
  // Ctrl-C and a hang-up in a terminal reach the whole group: the owner decides what it means.
  process.on("SIGINT", () => undefined);
  process.on("SIGHUP", () => undefined);
  // A pipe whose owner is gone: there is nobody to tell, the checkpoint is what counts.
  process.stdout.on("error", stop);
  process.stdin.on("close", stop).resume();
} else {
  process.on("SIGINT", stop);
  process.on("SIGHUP", stop);
}

await runTrial(await readTrialSpec(specFile), {
  signal: controller.signal,
  say: (message) => process.stdout.write(`${formatTrialMessage(message)}\n`),
});
// The open input would keep the process alive.
process.stdout.write("", () => process.exit(0));
