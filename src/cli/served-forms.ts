import { availableCores } from "../base/machine-limits.ts";
import type { Config } from "../config/schema.ts";
import type { Bundle } from "../inference/bundle.ts";
import { type BundleForm, readForms } from "../inference/bundle-form.ts";
import { chooseForms, type FormChoice } from "../inference/forms/choose-forms.ts";
import type { FormPlan } from "../inference/forms/form-plan.ts";
import { note, type Terminal } from "./display/terminal.ts";
import { packageVersion } from "./version.ts";

export interface ServedForms {
  readonly plan: FormPlan;
  readonly int8: BundleForm | undefined;
  /** Inside one operator, as the server has them. */
  readonly threads: number;
}

/** The forms in which the server would run a bundle with this configuration: what it has chosen once is not measured again. */
export async function servedForms(
  terminal: Terminal,
  bundle: Bundle,
  { serving }: Config,
  choice: FormChoice = serving.form,
): Promise<ServedForms> {
  const [int8] = await readForms(bundle);
  const threads = Math.max(1, Math.floor(availableCores() / serving.workers));
  const { plan } = await chooseForms({
    ...{ bundle, int8, choice, threads, maxBatchSize: serving.max_batch_size, version: packageVersion() },
    warn: (message) => note(terminal, `warning: ${message}`),
  });
  return { plan, int8, threads };
}
