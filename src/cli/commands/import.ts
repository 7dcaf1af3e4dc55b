import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { PipelineError } from "../../base/errors.ts";
import { expandHome } from "../../base/home-path.ts";
import { storageError } from "../../base/storage-error.ts";
import { importModel } from "../../experiments/import-model.ts";
import { modelsDirectory } from "../../experiments/run-folder.ts";
import { addConfigOptions, addOutputOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { count } from "../display/format.ts";
import { print, printJson, type Terminal } from "../display/terminal.ts";
import { invocation } from "../invocation.ts";

type Channels = [number, number, number];

interface ImportArguments extends ConfigArguments {
  readonly name: string;
  readonly classes: string;
  readonly mean: Channels;
  readonly std: Channels;
  readonly height?: number;
  readonly width?: number;
  readonly output?: string;
  readonly json?: boolean;
}

/** What one array can hold on every supported platform. */
const maxModelBytes = 2 ** 31 - 1;
const maxClassBytes = 4 * 1024 * 1024;

export function addImportCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("import")
    .description("make a model bundle of an ONNX file, checked against onnxruntime")
    .argument(
      "<file>",
      "ONNX file of a classifier of images: float32 [N, 3, height, width] to [N, classes]",
      expandHome,
    )
    .requiredOption("--name <name>", "of the bundle, which is made among the trained models", bundleName)
    .requiredOption(
      "--classes <names>",
      "file with one class name a line, or the names separated by commas",
      expandHome,
    )
    .requiredOption("--mean <r,g,b>", "what is subtracted from the images, on a scale of 0 to 1", channels)
    .requiredOption("--std <r,g,b>", "what they are divided by then", deviations)
    .option("--height <pixels>", "of the images, where the file leaves it free", pixels)
    .option("--width <pixels>", "of the images, where the file leaves it free", pixels)
    .option("--output <name>", "which output gives the logits, where the file has several");
  addOutputOptions(addConfigOptions(command)).action(async (file: string, options: ImportArguments) => {
    const { config } = loadArguments(terminal, options);
    const { name, mean, std, height, width, output } = options;
    const bytes = await readBounded(file, maxModelBytes);
    const classes = await classNames(options.classes);
    const directory = join(modelsDirectory(config), name);
    const { bundle, model, difference } = await importModel({
      ...{ bytes, directory, name, classes, mean, std, height, width, output },
    });
    const { preprocessing, model: described } = bundle.metadata;
    if (options.json === true) {
      return printJson(terminal, {
        ...{ name, directory: bundle.directory, classes: classes.length, parameters: described.parameterCount },
        ...{ input: model.input.name, output: model.outputName, softmax_left_out: model.ending === "softmax" },
        ...{ height: preprocessing.height, width: preprocessing.width, mean, std, difference },
      });
    }
    print(terminal, `${bundle.directory}: ${classes.length} classes, ${count(described.parameterCount)} parameters`);
    print(terminal, `images ${preprocessing.height}x${preprocessing.width}, (x / 255 - [${mean}]) / [${std}]`);
    print(terminal, `input ${model.input.name} is images now, output ${model.outputName} is logits`);
    if (model.ending === "softmax") print(terminal, "the softmax at its end is left out: a bundle gives logits");
    print(terminal, `largest difference from onnxruntime on the file: ${difference.toExponential(1)} of the largest`);
    print(terminal, `serve it with \`${invocation()} serve --model ${name}\``);
  });
}

async function readBounded(path: string, most: number): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > most) {
      throw new PipelineError("INVALID_ARGUMENT", `${path} has ${size} bytes, the limit is ${most}`);
    }
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new PipelineError("INVALID_ARGUMENT", `there is no file ${path}`, { details: { path }, cause: error });
    }
    throw storageError(error, path) ?? error;
  }
}

/** A list with commas is the names themselves; anything else is the file that holds them. */
async function classNames(given: string): Promise<string[]> {
  const text = given.includes(",") ? given : (await readBounded(given, maxClassBytes)).toString("utf8");
  const names = text.split(given.includes(",") ? "," : /\r?\n/).map((name) => name.trim());
  return names.filter((name) => name !== "");
}

function bundleName(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(text)) return text;
  throw new InvalidArgumentError("a name has letters, digits, '.', '_' and '-'.");
}

function channels(text: string): Channels {
  const numbers = text.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  if (numbers.length !== 3 || !numbers.every(Number.isFinite)) {
    throw new InvalidArgumentError(
      "three numbers, as the model was trained with: 0.485,0.456,0.406 and 0.229,0.224,0.225 for torchvision's, 0,0,0 and 1,1,1 for none.",
    );
  }
  return numbers as Channels;
}

function deviations(text: string): Channels {
  const numbers = channels(text);
  if (numbers.some((number) => number <= 0)) throw new InvalidArgumentError("three numbers above 0.");
  return numbers;
}

function pixels(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError("a whole number above 0.");
  return number;
}
