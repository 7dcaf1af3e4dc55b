import { Command } from "commander";
import type { Terminal } from "./display/terminal.ts";
import { reportFailure } from "./failure.ts";
import { invocation } from "./invocation.ts";
import { packageVersion } from "./version.ts";

const epilogue = `
Settings come from ${"config/config.yaml"} (or --config FILE), a --preset and --set section.key=value, later ones win;
every key: docs/configuration.md. The environment variable CIFAR_SOURCE names the images where nothing else does.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 stopped by Ctrl-C, SIGTERM or SIGHUP.`;

type AddCommand = (program: Command, terminal: Terminal) => void;

/** In the order of the help. A command's modules are loaded when it runs: all of them take a second. */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  up: async () => (await import("./commands/up.ts")).addUpCommand,
  train: async () => (await import("./commands/train.ts")).addTrainCommand,
  tune: async () => (await import("./commands/tune.ts")).addTuneCommand,
  evaluate: async () => (await import("./commands/evaluate.ts")).addEvaluateCommand,
  quantize: async () => (await import("./commands/quantize.ts")).addQuantizeCommand,
  predict: async () => (await import("./commands/predict.ts")).addPredictCommand,
  import: async () => (await import("./commands/import.ts")).addImportCommand,
  serve: async () => (await import("./commands/serve.ts")).addServeCommand,
  key: async () => (await import("./commands/key.ts")).addKeyCommand,
  track: async () => (await import("./commands/track.ts")).addTrackCommand,
  data: async () => (await import("./commands/data.ts")).addDataCommand,
  models: async () => (await import("./commands/models.ts")).addModelsCommand,
  stack: async () => (await import("./commands/stack.ts")).addStackCommand,
  backup: async () => (await import("./commands/backup.ts")).addBackupCommand,
  restore: async () => (await import("./commands/backup.ts")).addBackupCommand,
  traffic: async () => (await import("./commands/traffic.ts")).addTrafficCommand,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctorCommand,
};

/**
 * The command line, not run yet.
 * @param args with the name of a command, only that one is loaded
 */
export async function createProgram(terminal: Terminal, args: readonly string[] = []): Promise<Command> {
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
  for (const add of new Set(await Promise.all(needed(args).map((load) => load())))) add(program, terminal);
  return program;
}

function needed([first = ""]: readonly string[]): readonly (() => Promise<AddCommand>)[] {
  if (first === "-V" || first === "--version") return [];
  return Object.hasOwn(commands, first) ? [commands[first]!] : Object.values(commands);
}

/** Runs one command line (without program name); failures are reported. @returns the exit code */
export async function runCommandLine(terminal: Terminal, args: readonly string[]): Promise<number> {
  try {
    const program = await createProgram(terminal, args);
    await program.parseAsync([...args], { from: "user" });
    return terminal.status.code;
  } catch (error) {
    const has = (flag: string): boolean => args.includes(flag);
    return reportFailure(terminal, error, { json: has("--json"), debug: has("--debug") });
  }
}
