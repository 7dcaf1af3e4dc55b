import { processTerminal } from "./display/terminal.ts";
import { surviveLostOutput } from "./lost-output.ts";
import { runCommandLine } from "./program.ts";

const terminal = processTerminal();
surviveLostOutput(terminal);
const code = await runCommandLine(terminal, process.argv.slice(2));
// What was printed last may be what could not be written.
process.once("exit", () => {
  process.exitCode = code || terminal.status.code;
});
