import { runCommandLine } from "./program.ts";
import { processTerminal } from "./terminal.ts";

// A reader that closed the pipe (`cifar models | head -1`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

process.exitCode = await runCommandLine(processTerminal(), process.argv.slice(2));
