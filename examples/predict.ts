// Classifies image files with the newest model bundle, as the server does.
// Run with Node 22.18 or newer, after a training: node examples/predict.ts picture.png
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Classifier, createWorkerPredictor, newestBundle, topK } from "../src/index.ts";

export interface Answer {
  readonly file: string;
  readonly label: string;
  readonly ranking: readonly string[];
}

export async function predict(files: readonly string[], models = "checkpoints/models"): Promise<readonly Answer[]> {
  const { bundle } = await newestBundle(models);
  if (bundle === undefined) throw new Error(`no model in ${models}: train one with \`node bin/cifar.mjs train\``);
  const { metadata, modelPath } = bundle;
  const { classes, preprocessing } = metadata;
  await using predictor = await createWorkerPredictor({ modelPath, preprocessing, classCount: classes.length });
  await using classifier = new Classifier({ predictor, metadata });
  return await Promise.all(
    files.map(async (file) => {
      const { label, probabilities } = await classifier.classify(await readFile(file));
      const ranking = topK(probabilities, 3).map(
        ({ index, probability }) => `${classes[index]} ${(100 * probability).toFixed(1)} %`,
      );
      return { file, label, ranking };
    }),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { file, ranking } of await predict(process.argv.slice(2))) console.log(`${file}: ${ranking.join(", ")}`);
}
