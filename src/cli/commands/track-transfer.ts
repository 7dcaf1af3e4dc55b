import type { Command } from "commander";
import { expandHome } from "../../base/home-path.ts";
import { outboxDirectory } from "../../experiments/run-tracking.ts";
import { sendOutboxes } from "../../tracking/client/outbox.ts";
import { openTracking, type Tracking, trackingTarget } from "../../tracking/open.ts";
import { mlrunsSink } from "../../tracking/transfer/mlruns/sink.ts";
import { mlrunsSource } from "../../tracking/transfer/mlruns/source.ts";
import { storeSink, storeSource } from "../../tracking/transfer/store-transfer.ts";
import { type TransferSink, type TransferSource, transfer } from "../../tracking/transfer/transfer.ts";
import { addConfigOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { note, print, type Terminal } from "../display/terminal.ts";
import { usageError } from "../failure.ts";
import { onInterrupt } from "../interrupt.ts";

interface TransferArguments {
  readonly experiment: readonly string[];
}

const places = "a path of an SQLite store, postgresql://…, or http(s)://… of an MLflow server";
const syncMs = 60_000;

export function addTransferCommands(track: Command, terminal: Terminal): void {
  const add = (line: string, description: string): Command =>
    track
      .command(line)
      .description(description)
      .option("--experiment <name>", "only this experiment; may be repeated", collect, []);

  add("import <mlruns> [to]", `bring an mlruns folder into a store (to: ${places}; default: the local store)`).action(
    async (mlruns: string, to: string | undefined, options: TransferArguments) => {
      await using target = await openPlace(terminal, to ?? null);
      await run(terminal, { source: mlrunsSource(expandHome(mlruns)), sink: storeSink(target), options });
    },
  );
  add("export <mlruns> [from]", "write a store into an mlruns folder that MLflow reads").action(
    async (mlruns: string, from: string | undefined, options: TransferArguments) => {
      await using origin = await openPlace(terminal, from ?? null);
      await run(terminal, { source: storeSource(origin), sink: mlrunsSink(expandHome(mlruns)), options });
    },
  );
  add("copy <from> <to>", "copy from one store or server to another").action(
    async (from: string, to: string, options: TransferArguments) => {
      if (from === to) throw usageError("the two places are the same", "name another one");
      await using origin = await openPlace(terminal, from);
      await using target = await openPlace(terminal, to);
      await run(terminal, { source: storeSource(origin), sink: storeSink(target), options });
    },
  );
  addConfigOptions(
    track.command("sync").description("send what trainings kept while their tracking server was away"),
  ).action(async (options: ConfigArguments) => {
    const { config } = loadArguments(terminal, options);
    await using target = await openPlace(terminal, config.mlflow.tracking_uri);
    const root = outboxDirectory(config);
    const { sent, left, used } = await sendOutboxes(root, {
      ...target,
      maxMs: syncMs,
      onRefused: (error) => note(terminal, `refused: ${error instanceof Error ? error.message : String(error)}`),
      onAway: (error) => note(terminal, error instanceof Error ? error.message : String(error)),
    });
    const parts = [`${sent} runs sent`];
    if (left > 0) parts.push(`${left} still wait in ${root}`);
    if (used > 0) parts.push(`${used} are left to the trainings that use them`);
    print(terminal, parts.join(", "));
    if (left > 0) terminal.status.code = 1;
  });
}

interface Job {
  readonly source: TransferSource;
  readonly sink: TransferSink;
  readonly options: TransferArguments;
}

async function run(terminal: Terminal, { source, sink, options: { experiment } }: Job): Promise<void> {
  using interrupt = onInterrupt(terminal, "stopping after this run; the command goes on from here when it is repeated");
  const summary = await transfer(source, sink, {
    signal: interrupt.signal,
    onRun: (name, state) => note(terminal, `${state === "copied" ? "copied " : "present"}  ${name}`),
    ...(experiment.length === 0 ? {} : { experiments: experiment }),
  });
  const { experiments, runs, present, loggedModels, models } = summary;
  print(
    terminal,
    `${experiments} experiments, ${runs} runs copied, ${present} were there, ` +
      `${loggedModels} logged and ${models} registered models copied`,
  );
}

function openPlace({ env }: Terminal, uri: string | null): Promise<Tracking> {
  return openTracking(trackingTarget(uri === null ? null : expandHome(uri), env));
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}
