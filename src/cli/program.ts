import { Command } from "commander";
import { addBackupCommand } from "./commands/backup.ts";
import { addDataCommand } from "./commands/data.ts";
import { addDoctorCommand } from "./commands/doctor.ts";
import { addEvaluateCommand } from "./commands/evaluate.ts";
import { addImportCommand } from "./commands/import.ts";
import { addKeyCommand } from "./commands/key.ts";
import { addModelsCommand } from "./commands/models.ts";
import { addPredictCommand } from "./commands/predict.ts";
import { addQuantizeCommand } from "./commands/quantize.ts";
import { addServeCommand } from "./commands/serve.ts";
import { addStackCommand } from "./commands/stack.ts";
import { addTrackCommand } from "./commands/track.ts";
import { addTrafficCommand } from "./commands/traffic.ts";
import { addTrainCommand } from "./commands/train.ts";
import { addTuneCommand } from "./commands/tune.ts";
import { addUpCommand } from "./commands/up.ts";
import type { Terminal } from "./display/terminal.ts";
import { reportFailure } from "./failure.ts";
import { invocation } from "./invocation.ts";
import { packageVersion } from "./version.ts";

const epilogue = `
Settings come from ${"config/config.yaml"} (or --config FILE), a --preset and --set section.key=value, later ones win;
every key: docs/configuration.md. The environment variable CIFAR_SOURCE names the images where nothing else does.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 stopped by Ctrl-C, SIGTERM or SIGHUP.`;

/** The command line, not run yet. */
export function createProgram(terminal: Terminal): Command {
  const program = new Command(invocation())
    .description("Image classification from data to service: train, evaluate, predict, serve.")
    .version(packageVersion(), "-V, --version", "show the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand("help [command]", "show the help of a command")
    .showSuggestionAfterError(true)
    .showHelpAfterError("see --help")
    .addHelpText("after", epilogue)
    .configureOutput({
      writeOut: (text) => terminal.out.write(text),
      writeErr: (text) => terminal.err.write(text),
      getOutHelpWidth: () => 100,
      getErrHelpWidth: () => 100,
    })
    .exitOverride();
  addUpCommand(program, terminal);
  addTrainCommand(program, terminal);
  addTuneCommand(program, terminal);
  addEvaluateCommand(program, terminal);
  addQuantizeCommand(program, terminal);
  addPredictCommand(program, terminal);
  addImportCommand(program, terminal);
  addServeCommand(program, terminal);
  addKeyCommand(program, terminal);
  addTrackCommand(program, terminal);
  addDataCommand(program, terminal);
  addModelsCommand(program, terminal);
  addStackCommand(program, terminal);
  addBackupCommand(program, terminal);
  addTrafficCommand(program, terminal);
  addDoctorCommand(program, terminal);
  return program;
}

/** Runs one command line (without program name); failures are reported. @returns the exit code */
export async function runCommandLine(terminal: Terminal, args: readonly string[]): Promise<number> {
  try {
    await createProgram(terminal).parseAsync([...args], { from: "user" });
    return terminal.status.code;
  } catch (error) {
    const has = (flag: string): boolean => args.includes(flag);
    return reportFailure(terminal, error, { json: has("--json"), debug: has("--debug") });
  }
}
