import type { Command } from "commander";
import { loadConfig } from "../../config/load.ts";
import { checkSameConfig } from "../../experiments/resume-check.ts";
import { findRun, runConfigFile, runsDirectory } from "../../experiments/run-folder.ts";
import { addConfigOptions, addOutputOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { exitCodes } from "../failure.ts";
import type { Terminal } from "../terminal.ts";
import { trainWithDisplay } from "../train-with-display.ts";

interface TrainArguments extends ConfigArguments {
  readonly resume?: string;
  readonly json?: boolean;
}

export function addTrainCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("train")
    .description("train a network, evaluate it and write a model bundle; Ctrl-C saves and stops")
    .option("--resume <run>", 'go on with a run that was stopped or killed: its id, or "last"');
  addOutputOptions(addConfigOptions(command)).action(async (options: TrainArguments) => {
    const outcome = await trainWithDisplay(terminal, {
      ...resolve(terminal, options, options.resume === undefined ? undefined : await runToResume(terminal, options)),
      sourceName: "cifar train",
      json: options.json ?? false,
    });
    if (outcome.reason === "aborted") terminal.status.code = exitCodes.interrupted;
  });
}

type Run = Awaited<ReturnType<typeof findRun>>;

async function runToResume(terminal: Terminal, options: TrainArguments): Promise<Run> {
  return findRun(runsDirectory(loadArguments(terminal, options).config), options.resume ?? "last");
}

/** A resumed run keeps its own configuration; what is given besides must not contradict it. */
function resolve(terminal: Terminal, options: TrainArguments, resume: Run | undefined) {
  if (resume === undefined) return { loaded: loadArguments(terminal, options) };
  const own = loadConfig({ file: runConfigFile(resume), env: {} });
  const given =
    options.config === undefined && options.preset === undefined
      ? loadConfig({ file: runConfigFile(resume), env: {}, overrides: options.set })
      : loadArguments(terminal, options);
  checkSameConfig(resume.record.runId, { before: own.config, now: given.config });
  return { loaded: given, resume };
}
