import { stat } from "node:fs/promises";
import { join } from "node:path";
import { statementOf } from "../base/error-transfer.ts";
import { PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import { modelsDirectory } from "../experiments/run-folder.ts";
import { type Bundle, type DamagedBundle, newestBundle, readBundle } from "../inference/bundle.ts";
import { note, type Terminal } from "./display/terminal.ts";

/**
 * The bundle that --model names (a path, or a name below checkpoints/models), else the newest usable one; damaged ones
 * that are passed over are told.
 * @throws BUNDLE_NOT_FOUND, BUNDLE_DAMAGED
 */
export async function chooseBundle(terminal: Terminal, config: Config, model: string | undefined): Promise<Bundle> {
  const root = modelsDirectory(config);
  if (model !== undefined) {
    const named = join(root, model);
    const isNamed = !(await isFolder(model)) && (await isFolder(named));
    return readBundle(isNamed ? named : model);
  }
  const { bundle, damaged } = await newestBundle(root);
  if (bundle !== undefined) {
    notePassedOver(terminal, damaged);
    return bundle;
  }
  const [first] = damaged;
  if (first === undefined) {
    throw new PipelineError("BUNDLE_NOT_FOUND", `there is no model in ${root}`, {
      remedy: "train one with `cifar train` or `cifar up`, or name a bundle folder with --model",
      details: { root },
    });
  }
  throw new PipelineError("BUNDLE_DAMAGED", `no model in ${root} can be used: ${statementOf(first.error)}`, {
    remedy: `${first.error.remedy}; \`cifar models --bundles\` lists all of them`,
    details: { root, damaged: damaged.map(({ directory }) => directory) },
    cause: first.error,
  });
}

export function notePassedOver(terminal: Terminal, damaged: readonly DamagedBundle[]): void {
  for (const { error } of damaged) note(terminal, `warning: ${error.message}`);
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
}
