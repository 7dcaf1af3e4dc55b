import { readFile } from "node:fs/promises";
import { z } from "zod";
import { replaceFile } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";

const trialSpecSchema = z.strictObject({
  formatVersion: z.literal(1),
  studyId: z.string(),
  trial: z.int().min(0),
  /** Runs, messages and bundles of the trial. */
  directory: z.string(),
  /** The configuration of the sweep as YAML. */
  config: z.string(),
  /** The trial's own settings, as `--set` takes them. */
  overrides: z.array(z.string()),
  /** The epoch after which the trial halts; with the last one it ends. */
  until: z.int().min(1),
  /** The sweep's run in the tracking store. */
  parentRunId: z.string().optional(),
});

/** What the process of a trial needs to know. */
export type TrialSpec = Readonly<z.infer<typeof trialSpecSchema>>;

export function writeTrialSpec(path: string, spec: TrialSpec): Promise<void> {
  return replaceFile(path, `${JSON.stringify(spec, undefined, 2)}\n`);
}

/** @throws TUNING_FAILED for a file that is missing or no specification */
export async function readTrialSpec(path: string): Promise<TrialSpec> {
  try {
    return trialSpecSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    throw new PipelineError("TUNING_FAILED", `${path} does not say what the trial is: ${(cause as Error).message}`, {
      cause,
      remedy: "resume the sweep: it writes the file again",
    });
  }
}
