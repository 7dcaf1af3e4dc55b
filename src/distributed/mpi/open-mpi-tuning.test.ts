import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { tuneOpenMpi } from "./open-mpi-tuning.ts";

describe("tuneOpenMpi", () => {
  it("names a file of rules for as long as MPI needs it", () => {
    const env: NodeJS.ProcessEnv = {};
    const tuning = tuneOpenMpi(env);
    const file = env.OMPI_MCA_coll_tuned_dynamic_rules_filename!;
    expect(env).toMatchObject({ OMPI_MCA_mpi_yield_when_idle: "1", OMPI_MCA_coll_tuned_use_dynamic_rules: "1" });
    expect(readFileSync(file, "utf8")).toMatch(/^8388608 5 0 1048576$/m);
    tuning[Symbol.dispose]();
    expect(existsSync(file)).toBe(false);
  });

  it("leaves what mpirun was told", () => {
    const told = { OMPI_MCA_mpi_yield_when_idle: "0", OMPI_MCA_coll_tuned_use_dynamic_rules: "0" };
    const env: NodeJS.ProcessEnv = { ...told };
    tuneOpenMpi(env)[Symbol.dispose]();
    expect(env).toEqual(told);
  });
});
