import type { LoweringRules } from "../lowering.ts";
import { blockedRules } from "./blocked-rules.ts";
import { plainRules } from "./plain-rules.ts";
import { isAbsorbed } from "./sums.ts";

export const loweringRules: LoweringRules = { plain: plainRules, blocked: blockedRules, isDeferred: isAbsorbed };
