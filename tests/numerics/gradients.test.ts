import { describe, expect, test } from "vitest";
import type { OpName } from "../../src/graph/ops.ts";
import { verifyGraph } from "../../src/graph/verify.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { composedCases } from "./cases/composed-cases.ts";
import { gradientErrors } from "./finite-difference.ts";
import { type OpCase, type PreparedCase, prepare } from "./op-case.ts";
import { opCases } from "./op-cases.ts";
import { differentiate, differentiateTwice, type Program } from "./program.ts";

/** Double precision leaves about 1e-9 of a central difference; a wrong rule is off by more than 1e-2. */
const bound = 1e-6;

/** Their gradients are operations without a rule of their own. */
const firstOrderOnly: ReadonlySet<OpName> = new Set<OpName>(["activation", "maxPool2d"]);

/** Elements of the largest tensor of a case up to which it is differentiated, to keep the suite short. */
const firstOrderLimit = 40_000;
const secondOrderLimit = 10_000;

interface Row {
  readonly title: string;
  readonly prepared: PreparedCase;
}

const rowsOf = (op: string, cases: readonly OpCase[]): Row[] =>
  cases
    .map((opCase) => ({ title: `${op}: ${opCase.title}`, prepared: prepare(opCase) }))
    .filter(({ prepared }) => prepared.wrt.length > 0);

const opRows = (Object.keys(opCases) as OpName[]).map((op) => ({ op, rows: rowsOf(op, opCases[op]) }));
const allRows = opRows.flatMap(({ rows }) => rows);

function atMost(limit: number): (row: Row) => boolean {
  return ({ prepared: { feeds, result } }) =>
    [...Object.values(feeds), result].every(({ shape }) => sizeOf(shape) <= limit);
}

function expectGradients(program: Program): void {
  for (const [name, error] of Object.entries(gradientErrors(program))) {
    expect(error, `d/d${name}`).toBeLessThan(bound);
  }
}

describe("gradients agree with finite differences", () => {
  test.each([...allRows, ...rowsOf("chain", composedCases)].filter(atMost(firstOrderLimit)))(
    "$title",
    ({ prepared }) => {
      const program = differentiate(prepared);
      verifyGraph(program.graph);
      expectGradients(program);
    },
  );

  test("every operation has a case, unless its derivative is zero or there is none", () => {
    const without = opRows.filter(({ rows }) => rows.length === 0).map(({ op }) => op);
    expect(without.toSorted()).toEqual(
      [
        "activationGrad",
        "affineSample",
        "argMax",
        "cast",
        "gridSample",
        "lookup",
        "maxPool2dGrad",
        "oneHot",
        "stopGradient",
      ].toSorted(),
    );
  });
});

describe("second-order gradients", () => {
  const smallRows = (has: (op: OpName) => boolean): Row[] =>
    opRows.filter(({ op }) => has(op)).flatMap(({ rows }) => rows.filter(atMost(secondOrderLimit)));

  test.each(smallRows((op) => !firstOrderOnly.has(op)))("$title: agree with finite differences", ({ prepared }) => {
    expectGradients(differentiateTwice(prepared));
  });

  test.each(smallRows((op) => firstOrderOnly.has(op)))("$title: are refused", ({ prepared }) => {
    expect(() => differentiateTwice(prepared)).toThrow(expect.objectContaining({ code: "NOT_DIFFERENTIABLE" }));
  });
});
