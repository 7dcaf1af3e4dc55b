import type { Config } from "../config/schema.ts";
import type { ImageDataset, ImageSplit } from "../data/dataset.ts";

export interface SplitImages {
  readonly dataset: Pick<ImageDataset, "classes">;
  readonly validation: ImageSplit | undefined;
  readonly test: ImageSplit;
}

/** What can't be estimated with these images, for people; empty where all is well. */
export function dataDoubts({ training }: Pick<Config, "training">, split: SplitImages): string[] {
  const { dataset, validation, test } = split;
  const doubts: string[] = [];
  const seen = new Set(test.labels);
  const unseen = dataset.classes.filter((_, label) => !seen.has(label));
  if (unseen.length > 0) {
    const shown = unseen.length > 5 ? `${unseen.slice(0, 5).join(", ")}, …` : unseen.join(", ");
    doubts.push(
      `${unseen.length} of ${dataset.classes.length} classes have no test image (${shown}): ` +
        "accuracy says nothing about them, and macro averages leave them out",
    );
  }
  if (training.early_stopping && validation === undefined) {
    doubts.push("there are no validation images: early stopping is off, and the last weights are kept");
  }
  return doubts;
}
