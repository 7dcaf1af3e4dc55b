import type { LoweringRules } from "../lowering.ts";
import { blockedRules } from "./blocked-rules.ts";
import { plainRules } from "./plain-rules.ts";
import { factoredGradient, hasFactor, isAbsorbed } from "./sums.ts";

/**
 * The rules of this folder turn operations on images into kernels that work on blocked images. An image of six channels
 * with two rows and three columns, plain and in blocks of B = 4 channels (really 8 on AVX2, 16 on AVX-512):
 *
 *     plain: a channel after the other          blocked: a block after the other, in it a place after the other,
 *                                               in it the B channels of that place: one vector register
 *     c0  00 01 02   c1  00 01 02   …  c5
 *         10 11 12       10 11 12               block 0      00: c0 c1 c2 c3   01: c0 c1 c2 c3   02: c0 c1 c2 c3
 *                                               (c0 to c3)   10: c0 c1 c2 c3   11: c0 c1 c2 c3   12: c0 c1 c2 c3
 *     in memory
 *     c0: 00 01 02 10 11 12                     block 1      00: c4 c5 ·  ·    01: c4 c5 ·  ·    02: c4 c5 ·  ·
 *     c1: 00 01 02 10 11 12                     (c4, c5)     10: c4 c5 ·  ·    11: c4 c5 ·  ·    12: c4 c5 ·  ·
 *     …
 *     c5: 00 01 02 10 11 12                     · is padding: it never reaches a channel that counts
 *
 * A value stays blocked from convolution to convolution; `lowering.blocked` and `lowering.plain` change it where the other
 * is wanted. What the filters look like then: ../layout.ts.
 */
export const loweringRules: LoweringRules = {
  plain: plainRules,
  blocked: blockedRules,
  isDeferred: (value, lowering) => isAbsorbed(value, lowering) || hasFactor(value, lowering),
  factored: factoredGradient,
};
