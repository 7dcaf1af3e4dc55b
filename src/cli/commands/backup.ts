import { stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { type Command, Option } from "commander";
import { type BackupSource, createBackup } from "../../backup/create-backup.ts";
import { type PartName, partNames } from "../../backup/manifest.ts";
import { type Snapshot, takeSnapshot } from "../../backup/prometheus.ts";
import { restoreBackup } from "../../backup/restore-backup.ts";
import { ignoreMissing } from "../../base/durable.ts";
import { expandHome } from "../../base/home-path.ts";
import { bytes, count } from "../display/format.ts";
import { startProgress } from "../display/progress.ts";
import { note, print, printJson, type Terminal, table } from "../display/terminal.ts";
import { exitCodes } from "../failure.ts";
import { onInterrupt } from "../interrupt.ts";
import { packageVersion } from "../version.ts";

interface PlaceArguments {
  readonly checkpoints: string;
  readonly runs: string;
  readonly monitoring: string;
  readonly configuration: string;
  readonly prometheusData?: string;
  readonly json?: boolean;
}

interface BackupArguments extends PlaceArguments {
  readonly prometheus: string;
  readonly without: readonly PartName[];
}

export function addBackupCommand(program: Command, terminal: Terminal): void {
  const backup = program
    .command("backup")
    .description("copy models, runs, tracking, measurements and configuration into one folder, while they are in use")
    .argument("[folder]", "folder that is not there yet (default: backup/DATE)", expandHome)
    .option("--prometheus <url>", "address of Prometheus, which makes a snapshot", "http://127.0.0.1:9090")
    .addOption(new Option("--without <part...>", "leave out").choices(partNames).default([]));
  withPlaces(backup).action((folder: string | undefined, options: BackupArguments) => back(terminal, folder, options));
  const restore = program
    .command("restore")
    .description("put a backup in its place; stop what uses it first")
    .argument("<folder>", "folder of the backup", expandHome)
    .option("--force", "move what is there aside");
  withPlaces(restore).action((folder: string, options: PlaceArguments & { readonly force?: boolean }) =>
    putBack(terminal, folder, options),
  );
}

function withPlaces(command: Command): Command {
  return command
    .option("--checkpoints <path>", "folder of the models and checkpoints", expandHome, "checkpoints")
    .option("--runs <path>", "folder of runs, tracking and the stack's data", expandHome, "runs")
    .option("--monitoring <path>", "folder of the alert and dashboard files", expandHome, "monitoring")
    .option("--configuration <path>", "folder of the configuration", expandHome, "config")
    .option(
      "--prometheus-data <path>",
      "folder of Prometheus' data (default: stack/prometheus of the runs)",
      expandHome,
    )
    .option("--json", "machine-readable output")
    .option("--debug", "show where an error comes from");
}

function placesOf(options: PlaceArguments): Readonly<Record<PartName, string>> {
  const { checkpoints, runs, monitoring, configuration: config } = options;
  const prometheus = options.prometheusData ?? join(runs, "stack", "prometheus");
  return { checkpoints, runs, prometheus, monitoring, config };
}

async function back(terminal: Terminal, folder: string | undefined, options: BackupArguments): Promise<void> {
  const target =
    folder ?? join("backup", new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-"));
  const places = placesOf(options);
  using interrupt = onInterrupt(terminal, "");
  const { signal } = interrupt;
  const progress = startProgress(terminal, "copying");
  try {
    const wanted = partNames.filter((part) => !options.without.includes(part));
    await using snapshot = wanted.includes("prometheus") ? await measurements(terminal, options, signal) : undefined;
    const sources: BackupSource[] = [];
    for (const part of wanted) {
      const place = part === "prometheus" ? (snapshot?.folder ?? places.prometheus) : places[part];
      if ((await stat(place).catch(ignoreMissing)) === undefined) note(terminal, `${part}: there is no ${place}`);
      else sources.push({ part, folder: place, skip: skipped(part, places) });
    }
    const { manifest, leftOut } = await createBackup({
      ...{ target, sources, version: packageVersion(), signal },
      onFile: (path, done, total) => progress.update(done, total, path),
    });
    progress.stop();
    for (const { path, reason } of leftOut) note(terminal, `left out: ${path} (${reason})`);
    const rows = sources.map(({ part, folder: from }) => {
      const files = manifest.files.filter(({ path }) => path.startsWith(`${part}/`));
      return { part, folder: from, files: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0) };
    });
    if (options.json === true) printJson(terminal, { backup: target, parts: rows, leftOut });
    else {
      for (const line of table(rows.map((row) => [row.part, `${count(row.files)} files`, bytes(row.bytes)]))) {
        print(terminal, line);
      }
      print(terminal, `backup in ${target}`);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    terminal.status.code = exitCodes.interrupted;
  } finally {
    progress.stop();
  }
}

/** A snapshot, where there are measurements and Prometheus runs. */
async function measurements(
  terminal: Terminal,
  options: BackupArguments,
  signal: AbortSignal,
): Promise<Snapshot | undefined> {
  const { prometheus: folder } = placesOf(options);
  if ((await stat(folder).catch(ignoreMissing)) === undefined) return undefined;
  const snapshot = await takeSnapshot({ url: options.prometheus, folder }, signal);
  if (snapshot === undefined) {
    note(
      terminal,
      `Prometheus does not answer at ${options.prometheus}: its data are copied as they lie, which is right while it is ` +
        "stopped; where it runs elsewhere name it with --prometheus",
    );
  }
  return snapshot;
}

/** What other parts have, and what is made anew. */
function skipped(part: PartName, { runs, prometheus }: Readonly<Record<PartName, string>>): ReadonlySet<string> {
  if (part === "prometheus") return new Set(["snapshots", "lock"]);
  const below = part === "runs" ? relative(runs, prometheus).replaceAll("\\", "/") : "";
  return new Set(below === "" || below.startsWith("..") ? [] : [below]);
}

async function putBack(
  terminal: Terminal,
  source: string,
  options: PlaceArguments & { readonly force?: boolean },
): Promise<void> {
  using interrupt = onInterrupt(terminal, "");
  const { signal } = interrupt;
  const progress = startProgress(terminal, "checking");
  try {
    const parts = await restoreBackup({
      ...{ source, targets: placesOf(options), force: options.force === true, signal },
      onFile: (path, done, total) => progress.update(done, total, path),
    });
    progress.stop();
    if (options.json === true) printJson(terminal, { parts });
    else
      for (const { part, folder, files, outcome, movedTo } of parts) {
        const aside = movedTo === undefined ? "" : `; what was there is now ${movedTo}`;
        print(terminal, `${part}: ${count(files)} files ${outcome} in ${folder}${aside}`);
      }
  } catch (error) {
    if (!signal.aborted) throw error;
    terminal.status.code = exitCodes.interrupted;
  } finally {
    progress.stop();
  }
}
