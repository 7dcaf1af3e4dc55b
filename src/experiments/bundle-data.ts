import { PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import type { ImageDataset } from "../data/dataset.ts";
import type { Bundle } from "../inference/bundle.ts";
import { type DatasetOptions, loadConfiguredDataset } from "./configured-dataset.ts";

export interface BundleData {
  readonly dataset: ImageDataset;
  /** Whether the data are those of the training. */
  readonly sameData: boolean;
}

/** The configured data, to be used with a bundle. @throws DATA_FOREIGN when the classes differ */
export async function loadBundleData(
  { metadata }: Bundle,
  config: Config,
  options: DatasetOptions = {},
): Promise<BundleData> {
  const dataset = await loadConfiguredDataset(config, options);
  const { classes, name } = metadata;
  if (classes.length !== dataset.classes.length || classes.some((label, i) => label !== dataset.classes[i])) {
    throw new PipelineError(
      "DATA_FOREIGN",
      `${name} knows the classes ${listed(classes)}, ${dataset.name} has ${listed(dataset.classes)}`,
      { remedy: "name the data of its training with --set dataset.source=PATH and --set dataset.name=NAME" },
    );
  }
  return { dataset, sameData: dataset.digest === metadata.dataset.digest };
}

function listed(classes: readonly string[]): string {
  return classes.length <= 10
    ? classes.join(", ")
    : `${classes.slice(0, 10).join(", ")} and ${classes.length - 10} more`;
}
