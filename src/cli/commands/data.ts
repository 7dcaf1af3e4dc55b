import type { Command } from "commander";
import { obstacleTo } from "../../base/durable.ts";
import { expandHome } from "../../base/home-path.ts";
import { listCopies } from "../../data/cifar-copies.ts";
import type { ImageDataset } from "../../data/dataset.ts";
import { type SplitReport, verifyDataset } from "../../data/verify.ts";
import { loadConfiguredDataset } from "../../experiments/configured-dataset.ts";
import { previewDataset } from "../../experiments/preview.ts";
import { addConfigOptions, addOutputOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { bytes as bytesText, count } from "../display/format.ts";
import { dataDisplay } from "../display/progress.ts";
import { note, print, printJson, type Terminal, table } from "../display/terminal.ts";
import { syntheticNotice } from "../display/training-display.ts";
import { exitCodes, usageError } from "../failure.ts";
import { onInterrupt } from "../interrupt.ts";

interface DataArguments extends ConfigArguments {
  readonly offline?: boolean;
  readonly json?: boolean;
}

interface PreviewArguments extends DataArguments {
  readonly out: string;
  readonly part: string;
  readonly views: string;
}

export function addDataCommand(program: Command, terminal: Terminal): void {
  const data = program.command("data").description("get, check and look at the images");
  const add = (name: string, description: string): Command =>
    addOutputOptions(
      addConfigOptions(data.command(name).description(description).option("--offline", "never touch the network")),
    );

  add("prepare", "download or unpack the images that the configuration names").action(
    async (options: DataArguments) => {
      const dataset = await load(terminal, options);
      if (dataset === undefined) return;
      if (options.json === true) printJson(terminal, summary(dataset));
      else for (const line of describe(dataset)) print(terminal, line);
    },
  );

  addOutputOptions(
    addConfigOptions(data.command("list").description("list the unpacked copies in the data folder, with their sizes")),
  ).action((options: DataArguments) => listData(terminal, options));

  add("verify", "count the images, look for duplicates and damage").action(async (options: DataArguments) => {
    const dataset = await load(terminal, options);
    if (dataset === undefined) return;
    const report = verifyDataset(dataset);
    if (options.json === true) printJson(terminal, report);
    else {
      for (const line of describe(dataset)) print(terminal, line);
      for (const line of table([
        ["part", "images", "per class", "pixel values", "mean (R G B)", "std (R G B)", "duplicates"],
        ["training", ...figures(report.train)],
        ["test", ...figures(report.test)],
      ]))
        print(terminal, line);
      print(terminal, `test images that are training images too: ${report.testInTrain}`);
      print(terminal, report.problems.length === 0 ? "no problem found" : "problems:");
      for (const problem of report.problems) print(terminal, `  - ${problem}`);
    }
    if (report.problems.length > 0) terminal.status.code = exitCodes.failed;
  });

  add("preview", "write a sheet of images of each class, augmented as configured, and of the classes' histograms")
    .option("--out <file>", "the PNG file to write", expandHome, "preview.png")
    .option("--part <part>", "train or test", "train")
    .option("--views <count>", "augmented views of each image, 0 to 16", "4")
    .action(async (options: PreviewArguments) => {
      const { out: file, part } = options;
      if (part !== "train" && part !== "test") throw usageError(`--part ${part}`, "use --part train or --part test");
      const wanted = Number(options.views);
      if (!/^\d{1,2}$/.test(options.views) || wanted > 16) {
        throw usageError(`--views ${options.views}`, "use a whole number from 0 to 16");
      }
      const obstacle = await obstacleTo(file);
      if (obstacle !== undefined) {
        throw usageError(`--out ${file} can't be written: ${obstacle}`, "name a file in a folder that is there");
      }
      const dataset = await load(terminal, options);
      if (dataset === undefined) return;
      const { config } = loadArguments(terminal, options);
      const { rows, views } = await previewDataset(config, dataset, { file, part, views: wanted });
      if (options.json === true) printJson(terminal, { file, part, rows, views, synthetic: dataset.synthetic });
      else {
        if (dataset.synthetic) print(terminal, syntheticNotice);
        const shown = views === 0 ? "images" : `each image with ${views} augmented views`;
        print(terminal, `wrote ${file}: ${shown}, then the class's histogram; rows from the top: ${rows.join(", ")}`);
      }
    });
}

async function listData(terminal: Terminal, options: ConfigArguments & { readonly json?: boolean }): Promise<void> {
  const { data_dir: root } = loadArguments(terminal, options).config.dataset;
  const copies = (await listCopies(root)).map(({ folder, bytes, note }) => {
    const archives = note.version === 1 ? [note.archive] : note.archives.map(({ path }) => path);
    return { name: note.name, folder, bytes, archives };
  });
  if (options.json === true) return printJson(terminal, { root, copies });
  if (copies.length === 0) return print(terminal, `no unpacked copy in ${root}`);
  const rows = copies.map(({ name, folder, bytes, archives }) => [name, folder, bytesText(bytes), archives.join(", ")]);
  for (const line of table([["data", "unpacked copy", "size", "from"], ...rows])) print(terminal, line);
}

/** Undefined when Ctrl-C ended it. */
async function load(terminal: Terminal, options: DataArguments): Promise<ImageDataset | undefined> {
  const { config } = loadArguments(terminal, options);
  using interrupt = onInterrupt(terminal, "stopping …");
  const display = dataDisplay(terminal);
  const { signal } = interrupt;
  try {
    return await loadConfiguredDataset(config, {
      signal,
      offline: options.offline ?? false,
      onProgress: display.onProgress,
    });
  } catch (error) {
    if (!signal.aborted) throw error;
    note(terminal, "stopped; what was downloaded is kept, the next time goes on from there");
    terminal.status.code = exitCodes.interrupted;
    return undefined;
  } finally {
    display.stop();
  }
}

function summary({ name, synthetic, origin, classes, height, width, digest, train, test }: ImageDataset) {
  return { name, synthetic, origin, classes, height, width, digest, train: train.count, test: test.count };
}

export function describe(dataset: ImageDataset): string[] {
  const { name, synthetic, origin, classes, height, width, digest, train, test } = dataset;
  const shown = classes.length <= 10 ? classes.join(", ") : `${classes.slice(0, 10).join(", ")}, …`;
  return [
    ...(synthetic ? [syntheticNotice] : []),
    `${name} (${origin}): ${count(train.count)} training and ${count(test.count)} test images of ${height} x ${width}`,
    `${classes.length} classes: ${shown}`,
    `digest ${digest}`,
  ];
}

function figures({ count: images, perClass, minimum, maximum, channels, duplicates }: SplitReport): string[] {
  const [least, most] = [Math.min(...perClass), Math.max(...perClass)];
  const three = (values: readonly number[]): string => values.map((value) => value.toFixed(4)).join(" ");
  return [
    count(images),
    least === most ? count(least) : `${count(least)} to ${count(most)}`,
    `${minimum} to ${maximum}`,
    three(channels.mean),
    three(channels.std),
    count(duplicates),
  ];
}
