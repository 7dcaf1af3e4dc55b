import { stat } from "node:fs/promises";
import { join } from "node:path";
import { PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import { modelsDirectory } from "../experiments/run-folder.ts";
import { type Bundle, newestBundle, readBundle } from "../inference/bundle.ts";

/**
 * The bundle that --model names (a path, or a name below checkpoints/models), else the newest.
 * @throws BUNDLE_NOT_FOUND, BUNDLE_DAMAGED
 */
export async function chooseBundle(config: Config, model: string | undefined): Promise<Bundle> {
  const root = modelsDirectory(config);
  if (model !== undefined) {
    const named = join(root, model);
    const isNamed = !(await isFolder(model)) && (await isFolder(named));
    return readBundle(isNamed ? named : model);
  }
  const bundle = await newestBundle(root);
  if (bundle === undefined) {
    throw new PipelineError("BUNDLE_NOT_FOUND", `there is no model in ${root}`, {
      remedy: "train one with `cifar train` or `cifar up`, or name a bundle folder with --model",
      details: { root },
    });
  }
  return bundle;
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
}
