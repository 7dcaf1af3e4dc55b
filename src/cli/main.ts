import { processTerminal } from "./display/terminal.ts";
import { surviveLostOutput } from "./lost-output.ts";
import { runCommandLine } from "./program.ts";

const terminal = processTerminal();
surviveLostOutput(terminal);
const code = await runCommandLine(terminal, process.argv.slice(2));
// A program that has started this one with a channel to it (`npm run dev`) does not keep it.
if (process.connected) process.disconnect();
// What was printed last may be what could not be written.
process.once("exit", () => {
  process.exitCode = code || terminal.status.code;
});
