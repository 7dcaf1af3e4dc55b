import type { OpName } from "../../src/graph/ops.ts";
import { convolutionCases } from "./cases/convolution-cases.ts";
import { elementwiseCases } from "./cases/elementwise-cases.ts";
import { imageCases } from "./cases/image-cases.ts";
import { layoutCases } from "./cases/layout-cases.ts";
import { linearCases } from "./cases/linear-cases.ts";
import type { OpCase } from "./op-case.ts";

/** Cases of every operation: an operation without an entry does not compile, so a new one is tested for free. */
export const opCases: { readonly [O in OpName]: readonly OpCase[] } = {
  ...elementwiseCases,
  ...layoutCases,
  ...linearCases,
  ...convolutionCases,
  ...imageCases,
};
