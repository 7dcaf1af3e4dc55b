import type { LoweringRules } from "../lowering.ts";
import { blockedRules } from "./blocked-rules.ts";
import { plainRules } from "./plain-rules.ts";
import { factoredGradient, hasFactor, isAbsorbed } from "./sums.ts";

export const loweringRules: LoweringRules = {
  plain: plainRules,
  blocked: blockedRules,
  isDeferred: (value, lowering) => isAbsorbed(value, lowering) || hasFactor(value, lowering),
  factored: factoredGradient,
};
