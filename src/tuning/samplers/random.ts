import { fromUnit } from "../axis.ts";
import { fillSpace } from "../space.ts";
import type { Sampler } from "./sampler.ts";

/** Independent draws. */
export const randomSampler: Sampler = {
  sample: ({ space, rng }) => fillSpace(space, (_name, domain) => fromUnit(domain, rng.uniform())),
};
