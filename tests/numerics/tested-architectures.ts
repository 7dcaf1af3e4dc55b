import { models } from "../../src/models/registry.ts";

/** The larger ones of a family have its parts, only more of them; with EVERY_ARCHITECTURE=1 they are tested too. */
const larger = /_(b[1-7]|v2_[ml]|800mf|1_6gf|3_2gf|8gf|16gf|32gf)$|^densenet(161|169|201)$/;

export const testedArchitectures = Object.values(models).filter(
  ({ name }) => process.env.EVERY_ARCHITECTURE === "1" || !larger.test(name),
);
