import { PipelineError } from "../../base/errors.ts";
import { createRng } from "../../base/rng.ts";
import { fromUnit } from "../axis.ts";
import { fillSpace } from "../space.ts";
import type { Sampler } from "./sampler.ts";
import { scrambledSobol, sobolBits, sobolDimensions } from "./sobol.ts";

export interface QuasiRandomOptions {
  readonly seed: number;
}

/** Points of a scrambled Sobol' sequence: they fill the space more evenly than random ones. */
export function quasiRandomSampler({ seed }: QuasiRandomOptions): Sampler {
  const sequence = scrambledSobol(createRng(seed).split("sobol"));
  return {
    sample({ space, trials }) {
      const count = Object.keys(space.dimensions).length;
      if (count > sobolDimensions) {
        throw new PipelineError(
          "CONFIG_INVALID",
          `quasi_random searches ${sobolDimensions} parameters at most, not ${count}`,
          {
            remedy: "choose another ray_tune.search.algorithm, or fewer ray_tune.parameters",
          },
        );
      }
      return fillSpace(space, (_name, domain, dimension) =>
        fromUnit(domain, sequence(trials.length, dimension) / 2 ** sobolBits),
      );
    },
  };
}
