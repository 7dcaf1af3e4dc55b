import { existsSync } from "node:fs";
import { type Command, Option } from "commander";
import { expandHome } from "../../base/home-path.ts";
import { loadConfig } from "../../config/load.ts";
import { findStudy, studiesDirectory, studyConfigFile } from "../../experiments/study-folder.ts";
import { checkSameSweep } from "../../experiments/sweep-resume.ts";
import type { SweepOutcome } from "../../experiments/tune.ts";
import {
  addConfigOptions,
  addOutputOptions,
  type ConfigArguments,
  defaultConfigFile,
  loadArguments,
} from "../config-options.ts";
import type { Terminal } from "../display/terminal.ts";
import { tuneWithDisplay } from "../display/tune-with-display.ts";
import { exitCodes } from "../failure.ts";

export interface TuneArguments extends ConfigArguments {
  readonly resume?: string;
  readonly executor?: "local" | "ray";
  readonly rayAddress?: string;
  readonly json?: boolean;
}

export function addTuneCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("tune")
    .description("search for good hyperparameters (ray_tune.parameters); Ctrl-C saves and stops")
    .option("--resume <study>", 'go on with a sweep that was stopped or killed: its id, or "last"', expandHome);
  addExecutorOptions(command);
  addOutputOptions(addConfigOptions(command)).action(async (options: TuneArguments) => {
    await tuneCommand(terminal, options, "cifar tune");
  });
}

export function addExecutorOptions(command: Command): Command {
  return command
    .addOption(new Option("--executor <name>", "where trials run").choices(["local", "ray"]))
    .option("--ray-address <url>", "dashboard of the Ray cluster, such as http://127.0.0.1:8265");
}

/** The whole sweep, as `cifar tune` and `cifar train --tune` run it. */
export async function tuneCommand(
  terminal: Terminal,
  options: TuneArguments,
  sourceName: string,
): Promise<SweepOutcome> {
  const resume =
    options.resume === undefined
      ? undefined
      : await findStudy(studiesDirectory(loadArguments(terminal, options).config), options.resume);
  const configFile = options.config ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);
  const outcome = await tuneWithDisplay(terminal, {
    sweep: { loaded: load(terminal, options, resume), configFile, resume, sourceName },
    json: options.json ?? false,
  });
  if (outcome.end === "interrupted") terminal.status.code = exitCodes.interrupted;
  return outcome;
}

/** A resumed sweep keeps its own configuration; what is given besides may change where it runs and how long. */
function load(terminal: Terminal, options: TuneArguments, resume: Awaited<ReturnType<typeof findStudy>> | undefined) {
  const extra = [
    ...(options.executor === undefined ? [] : [`ray_tune.executor=${options.executor}`]),
    ...(options.rayAddress === undefined ? [] : [`ray_tune.ray.address=${options.rayAddress}`]),
  ];
  if (resume === undefined) return loadArguments(terminal, { ...options, set: [...options.set, ...extra] });
  const file = studyConfigFile(resume);
  const before = loadConfig({ file, env: {} });
  const now =
    options.config === undefined && options.preset === undefined
      ? loadConfig({ file, env: {}, overrides: [...options.set, ...extra] })
      : loadArguments(terminal, { ...options, set: [...options.set, ...extra] });
  checkSameSweep(resume.studyId, { before: before.config, now: now.config });
  return now;
}
