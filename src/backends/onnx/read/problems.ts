import type { PipelineError } from "../../../base/errors.ts";
import { shown, unsupportedModel } from "./errors.ts";

/** A node that can't be read. */
export interface Problem {
  readonly operator: string;
  readonly node: string;
  readonly why: string;
}

/** Names and kinds that a message lists; its details have all. */
const listed = { operators: 20, nodes: 4 } as const;

/** One error that names every operator that is lacking, how often, where and why. */
export function lackingOperators(problems: readonly Problem[]): PipelineError {
  const kinds = new Map<string, Problem[]>();
  for (const problem of problems) {
    const key = `${problem.operator}\n${problem.why}`;
    const same = kinds.get(key);
    if (same === undefined) kinds.set(key, [problem]);
    else same.push(problem);
  }
  const operators = [...kinds.values()]
    .map((same) => ({
      operator: same[0]!.operator,
      why: same[0]!.why,
      count: same.length,
      nodes: same.map(({ node }) => node),
    }))
    .toSorted((a, b) => b.count - a.count);
  const texts = operators.slice(0, listed.operators).map(({ operator, why, count, nodes }) => {
    const names = nodes.slice(0, listed.nodes).map(shown).join(", ");
    return `${count} x ${operator} (${why}: ${names}${count > listed.nodes ? ", ..." : ""})`;
  });
  const more = operators.length > listed.operators ? `; and ${operators.length - listed.operators} more kinds` : "";
  return unsupportedModel(
    `it needs what the closed set of operations lacks: ${texts.join("; ")}${more}`,
    "export the model with other operators, or serve it elsewhere",
    { operators },
  );
}
