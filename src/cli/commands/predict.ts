import { readFile, stat } from "node:fs/promises";
import { type Command, InvalidArgumentError } from "commander";
import { statementOf } from "../../base/error-transfer.ts";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { expandHome } from "../../base/home-path.ts";
import { type Classification, Classifier } from "../../inference/classifier.ts";
import { createWorkerPredictor } from "../../inference/predictor.ts";
import { topK } from "../../inference/softmax.ts";
import { chooseBundle } from "../choose-bundle.ts";
import { addConfigOptions, addOutputOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { percent } from "../display/format.ts";
import { note, print, printJson, type Terminal } from "../display/terminal.ts";
import { syntheticNotice } from "../display/training-display.ts";
import { exitCodes } from "../failure.ts";
import { servedForms } from "../served-forms.ts";

interface PredictArguments extends ConfigArguments {
  readonly model?: string;
  readonly topK: number;
  readonly json?: boolean;
}

type Answer =
  | { readonly file: string; readonly result: Classification }
  | { readonly file: string; readonly error: PipelineError };

export function addPredictCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("predict")
    .description("classify image files (JPEG, PNG, WebP, GIF), as the server does")
    .argument("<file...>", "image files")
    .option("--model <bundle>", "bundle folder, or its name (default: the newest)", expandHome)
    .option("--top-k <number>", "classes to show for each image", wholeNumber, 3);
  addOutputOptions(addConfigOptions(command)).action(async (files: readonly string[], options: PredictArguments) => {
    const { config } = loadArguments(terminal, options);
    const bundle = await chooseBundle(terminal, config, options.model);
    const { metadata, modelPath } = bundle;
    const { classes, preprocessing } = metadata;
    const { plan, int8, threads } = await servedForms(terminal, bundle, config);
    await using predictor = await createWorkerPredictor({
      ...{ modelPath, int8Path: int8?.modelPath, plan },
      ...{ preprocessing, classCount: classes.length, workers: 1, threads },
    });
    // One image at a time, as one request at a time: the same bits.
    const maxBytes = config.serving.max_upload_bytes;
    await using classifier = new Classifier({
      ...{ predictor, metadata, int8Temperature: int8?.metadata.temperature },
      ...{ maxBatchSize: 1, imageLimits: { maxBytes } },
    });
    const answers: Answer[] = [];
    for (const file of files.map(expandHome)) answers.push(await classify(classifier, file, maxBytes));

    const describe = ({ probabilities }: Classification) =>
      topK(probabilities, options.topK).map(({ index, probability }) => ({ label: classes[index]!, probability }));
    if (options.json === true) {
      const { name, dataset } = metadata;
      const predictions = answers.map((answer) => jsonOf(answer, { classes, describe }));
      printJson(terminal, { model: name, synthetic_data: dataset.synthetic, predictions });
    } else {
      if (metadata.dataset.synthetic) print(terminal, `model ${metadata.name}: ${syntheticNotice}`);
      for (const answer of answers) {
        if ("error" in answer) note(terminal, `${answer.file}: error: ${answer.error.message} (${answer.error.code})`);
        else {
          const ranked = describe(answer.result).map(({ label, probability }) => `${label} ${percent(probability)}`);
          print(terminal, `${answer.file}: ${ranked.join(", ")}`);
        }
      }
    }
    if (answers.some((answer) => "error" in answer)) terminal.status.code = exitCodes.failed;
  });
}

async function classify(classifier: Classifier, file: string, maxBytes: number): Promise<Answer> {
  try {
    return { file, result: await classifier.classify(await readImage(file, maxBytes)) };
  } catch (error) {
    if (!isPipelineError(error)) throw error;
    return { file, error };
  }
}

async function readImage(file: string, maxBytes: number): Promise<Uint8Array> {
  try {
    const info = await stat(file);
    if (!info.isFile()) throw new PipelineError("INVALID_ARGUMENT", "this is no file");
    if (info.size > maxBytes) {
      throw new PipelineError("IMAGE_TOO_LARGE", `the file has ${info.size} bytes, the limit is ${maxBytes}`, {
        remedy: "give a smaller image, or raise serving.max_upload_bytes",
      });
    }
    return await readFile(file);
  } catch (cause) {
    if (isPipelineError(cause)) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PipelineError("INVALID_ARGUMENT", `the file cannot be read: ${reason}`, { cause });
  }
}

interface AnswerText {
  readonly classes: readonly string[];
  readonly describe: (result: Classification) => readonly { readonly label: string; readonly probability: number }[];
}

/** The words of the server's answer. */
function jsonOf(answer: Answer, { classes, describe }: AnswerText): object {
  const { file } = answer;
  if ("error" in answer) {
    const { code, remedy } = answer.error;
    return { file, error: { code, message: statementOf(answer.error), ...(remedy === undefined ? {} : { remedy }) } };
  }
  const { index, label, confidence, probabilities, inferenceSeconds } = answer.result;
  return {
    file,
    predicted_class: index,
    predicted_label: label,
    confidence,
    inference_time_seconds: inferenceSeconds,
    top: describe(answer.result),
    all_probabilities: Object.fromEntries(classes.map((name, i) => [name, probabilities[i]!])),
  };
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("give a whole number of at least 1.");
  return value;
}
