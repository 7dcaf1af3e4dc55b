import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storageError } from "../../base/storage-error.ts";

/**
 * Rules of Open MPI's component coll/tuned, for one collective (2: all-reduce) and groups of all sizes: its own choice for
 * small sums; from 8 MiB on a ring (5) in segments of 1 MiB, which stay in the processor's cache.
 */
const rules = `1
2
1
0
2
0 0 0 0
${8 * 2 ** 20} 5 0 ${2 ** 20}
`;

/**
 * Prepares Open MPI for sums of gradients, before it is initialised; what the user has set stays. A process that waits
 * lets its own threads, and those of the others, have the core.
 * @param env the environment that libraries see
 * @returns to be disposed when MPI has read it
 * @throws STORAGE_FAILED: without the file this process would sum in another way than the others
 */
export function tuneOpenMpi(env: NodeJS.ProcessEnv): Disposable {
  env.OMPI_MCA_mpi_yield_when_idle ??= "1";
  if (env.OMPI_MCA_coll_tuned_use_dynamic_rules !== undefined) return { [Symbol.dispose]: () => undefined };
  const { folder, file } = writeRules();
  env.OMPI_MCA_coll_tuned_use_dynamic_rules = "1";
  env.OMPI_MCA_coll_tuned_dynamic_rules_filename = file;
  return { [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

function writeRules() {
  try {
    const folder = mkdtempSync(join(tmpdir(), "cifar-mpi-"));
    const file = join(folder, "rules.conf");
    writeFileSync(file, rules);
    return { folder, file };
  } catch (error) {
    throw storageError(error, tmpdir()) ?? error;
  }
}
