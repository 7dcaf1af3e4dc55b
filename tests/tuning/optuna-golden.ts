import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Best values after each mark, of all seeds in ascending order. */
type BestValues = readonly (readonly number[])[];

/** What scripts/goldens/optuna_goldens.py wrote. */
export interface OptunaGolden {
  readonly versions: Readonly<Record<string, string>>;
  readonly densities: readonly {
    readonly observed: Readonly<Record<"a" | "b" | "c" | "d" | "e", readonly number[]>>;
    readonly points: Readonly<Record<"a" | "b" | "c" | "d" | "e", readonly number[]>>;
    readonly logDensity: readonly number[];
  }[];
  readonly splits: readonly {
    readonly direction: "minimize" | "maximize";
    readonly below: readonly number[];
    readonly trials: readonly {
      readonly status: "complete" | "pruned" | "running";
      readonly reports: readonly { readonly step: number; readonly value: number }[];
    }[];
  }[];
  readonly median: readonly {
    readonly direction: "minimize" | "maximize";
    readonly startupTrials: number;
    readonly warmupSteps: number;
    readonly trials: readonly (readonly { readonly step: number; readonly value: number; readonly prune: boolean }[])[];
  }[];
  readonly importances: {
    readonly trials: readonly {
      readonly params: Readonly<Record<string, number | string>>;
      readonly value: number;
    }[];
    readonly importance: Readonly<Record<string, number>>;
  };
  readonly statistics: {
    readonly seeds: number;
    readonly marks: readonly number[];
    readonly functions: Readonly<Record<string, { readonly tpe: BestValues; readonly random: BestValues }>>;
  };
}

export const optunaGolden = JSON.parse(
  readFileSync(fileURLToPath(new URL("../goldens/optuna.json", import.meta.url)), "utf8"),
) as OptunaGolden;
