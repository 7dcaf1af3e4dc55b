import type { Command } from "commander";
import { endProcess } from "../../base/end-process.ts";
import { PipelineError } from "../../base/errors.ts";
import { expandHome } from "../../base/home-path.ts";
import { loadConfig } from "../../config/load.ts";
import { givenPlace, otherRank, type RankStart } from "../../experiments/rank-place.ts";
import { checkSameConfig } from "../../experiments/resume-check.ts";
import { findRun, runConfigFile, runsDirectory, unfinishedRun } from "../../experiments/run-folder.ts";
import { startRank } from "../../experiments/run-rank.ts";
import { addConfigOptions, addOutputOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { note, type Terminal } from "../display/terminal.ts";
import { trainWithDisplay } from "../display/train-with-display.ts";
import { exitCodes } from "../failure.ts";
import { onInterrupt } from "../interrupt.ts";
import { invocation } from "../invocation.ts";
import { addExecutorOptions, type TuneArguments, tuneCommand } from "./tune.ts";

/** What a rank of a launcher waits to be stopped by rank 0: less than most launchers wait for it. */
const stopMs = 20_000;

interface TrainArguments extends ConfigArguments, TuneArguments {
  readonly resume?: string;
  readonly distributed?: boolean;
  readonly json?: boolean;
  readonly tune?: boolean;
}

export function addTrainCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("train")
    .description("train a network, evaluate it and write a model bundle; Ctrl-C saves and stops")
    .option(
      "--resume <run>",
      'go on with a run that was stopped or killed: its id, its folder, "last", or "auto": the last one unless it has finished, else a new one',
      expandHome,
    )
    .option("--tune", "search for good hyperparameters, as `cifar tune` does; --resume then names a study")
    .option("--distributed", "train on several processes: see the section distributed of the configuration");
  addExecutorOptions(command);
  addOutputOptions(addConfigOptions(command)).action(async (options: TrainArguments) => {
    if (options.tune === true || (options.resume === undefined && wantsTuning(terminal, options)))
      return tuneAndTrain(terminal, options);
    if (options.executor !== undefined || options.rayAddress !== undefined) {
      throw new PipelineError("USAGE_INVALID", "--executor and --ray-address say where the trials of a sweep run", {
        remedy: "give --tune with them",
      });
    }
    const { config } = loadArguments(terminal, options, flagsOf(options));
    const start = config.distributed.use_distributed ? otherRank(config, terminal.env) : undefined;
    if (start !== undefined) return trainAsRank(terminal, start);
    await trainAndShow(terminal, options, resolve(terminal, options, await runToResume(terminal, options)));
  });
}

async function trainAndShow(
  terminal: Terminal,
  { json = false }: TrainArguments,
  training: ReturnType<typeof resolve>,
): Promise<void> {
  const outcome = await trainWithDisplay(terminal, { ...training, sourceName: "cifar train", json });
  if (outcome.reason === "aborted") terminal.status.code = exitCodes.interrupted;
}

/** Searches; with --distributed the best configuration is then trained by all processes. */
async function tuneAndTrain(terminal: Terminal, options: TrainArguments): Promise<void> {
  const { config } = loadArguments(terminal, options, flagsOf(options));
  const { use_distributed: isDistributed } = config.distributed;
  if (isDistributed && givenPlace(config, terminal.env) !== undefined) {
    throw new PipelineError("USAGE_INVALID", "a launcher has started all processes, but only one of them can search", {
      remedy: `\`${invocation()} train --tune\` first, then launch \`${invocation()} train --distributed --config config/tuned_config.yaml\``,
    });
  }
  const { best } = await tuneCommand(terminal, options, "cifar train --tune");
  if (best === undefined || !isDistributed) return;
  await trainAndShow(terminal, options, {
    loaded: loadConfig({ file: best.configFile, env: {}, overrides: ["distributed.use_distributed=true"] }),
  });
}

function wantsTuning(terminal: Terminal, options: TrainArguments): boolean {
  return loadArguments(terminal, options).config.ray_tune.use_ray_tune;
}

type Run = Awaited<ReturnType<typeof findRun>>;

async function runToResume(terminal: Terminal, options: TrainArguments): Promise<Run | undefined> {
  if (options.resume === undefined) return undefined;
  const root = runsDirectory(loadArguments(terminal, options).config);
  return options.resume === "auto" ? unfinishedRun(root) : findRun(root, options.resume);
}

/** What other options stand for. */
function flagsOf({ distributed }: TrainArguments): string[] {
  return distributed ? ["distributed.use_distributed=true"] : [];
}

/** Does the part of a rank that somebody else has started; rank 0 shows the training and keeps the run. */
async function trainAsRank(terminal: Terminal, start: RankStart): Promise<void> {
  note(terminal, `rank ${start.join.rank}: joining the training at ${start.join.host} port ${start.join.port}`);
  // Launchers signal all processes: rank 0 stops the training after a step that all have to make.
  using interrupt = onInterrupt(terminal, "stopping with the others, after this step …");
  interrupt.signal.addEventListener("abort", () => {
    setTimeout(() => endProcess(exitCodes.interrupted), stopMs).unref();
  });
  await using rank = startRank(start);
  await rank.done;
}

/** A resumed run keeps its own configuration; what is given besides must not contradict it. */
function resolve(terminal: Terminal, options: TrainArguments, resume: Run | undefined) {
  if (resume === undefined) return { loaded: loadArguments(terminal, options, flagsOf(options)) };
  const own = loadConfig({ file: runConfigFile(resume), env: {} });
  const given =
    options.config === undefined && options.preset === undefined
      ? loadConfig({ file: runConfigFile(resume), env: {}, overrides: [...flagsOf(options), ...options.set] })
      : loadArguments(terminal, options, flagsOf(options));
  checkSameConfig(resume.record.runId, { before: own.config, now: given.config });
  return { loaded: given, resume };
}
