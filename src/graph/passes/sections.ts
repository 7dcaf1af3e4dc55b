import { PipelineError } from "../../base/errors.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { input } from "../build.ts";
import { defineGraph, type Graph, type Variable } from "../graph.ts";
import type { Arrival, OpName } from "../ops.ts";
import { isOp, type Value } from "../value.ts";

/** Something that is summed over all processes between two sections. */
export interface SectionSum {
  /** Of the output that holds this process's part, and of the input by which later sections take the sum. */
  readonly name: string;
  readonly arrival: Arrival;
  readonly size: number;
}

/** A part of a graph without sums over processes. Its inputs and variables are those of the whole that it needs. */
export interface Section {
  readonly graph: Graph;
  /** Outputs to be summed after this section. */
  readonly sums: readonly SectionSum[];
}

export interface Sections {
  /** To be run in this order. What one computes for another is a variable of both, named "kept/…". */
  readonly sections: readonly Section[];
  /** Outputs of the whole that are sums themselves, with the sum's name. */
  readonly summedOutputs: Readonly<Record<string, string>>;
}

export interface SectionOptions {
  /**
   * Into how many sections the part before late sums is divided, so that the first sums travel while the rest is
   * computed; default 1. Taken only where nothing has to arrive "now".
   */
  readonly parts?: number;
}

/** Cheaper to compute again than to keep. */
const cheapOps: ReadonlySet<OpName> = new Set(["constant", "broadcast", "reshape", "cast"]);

/**
 * Divides a graph at its sums over processes. Variables change in the last section only, so all sections of a run see
 * the same values.
 * @throws GRAPH_INVALID when something that has to arrive at once depends on something late
 */
export function divide(graph: Graph, { parts = 1 }: SectionOptions = {}): Sections {
  const level = levelsOf(graph, parts);
  const levels = [...new Set(level.values())];
  const last = Math.max(0, ...levels.filter(Number.isFinite)) + (levels.every(Number.isFinite) ? 0 : 1);
  const levelOf = (value: Value): number => Math.min(level.get(value)!, last);
  const ids = new Map(graph.values.map((value, id) => [value, id]));
  const sumName = (value: Value): string => `sum/${ids.get(value)}`;
  const keptName = (value: Value): string => `kept/${ids.get(value)}`;
  const sums = graph.values.filter((value) => isOp(value, "allReduce")) as Value<"allReduce">[];
  const current = new Map(Object.entries(graph.variables).map(([name, { current }]) => [current as Value, name]));
  const summedOutputs: Record<string, string> = {};
  const plainOutputs = Object.entries(graph.outputs).filter(([name, value]) => {
    if (!isOp(value, "allReduce")) return true;
    summedOutputs[name] = sumName(value);
    return false;
  });

  /** What each section computes for later ones: filled from the last section backwards. */
  const kept = Array.from({ length: last + 1 }, () => new Set<Value>());
  const placed = new Set<string>();
  const sections: Section[] = [];
  for (let at = last; at >= 0; at--) {
    const inputs = new Map<string, Value<"input">>();
    const variables: Record<string, Variable> = {};
    const rebuilt = new Map<Value, Value>();
    const rebuild = (root: Value): Value => {
      const stack = [root];
      while (stack.length > 0) {
        const value = stack[stack.length - 1]!;
        if (rebuilt.has(value)) {
          stack.pop();
          continue;
        }
        const leaf = leafOf(value);
        const missing = leaf === undefined ? value.operands.filter((operand) => !rebuilt.has(operand)) : [];
        if (missing.length > 0) {
          stack.push(...missing);
          continue;
        }
        stack.pop();
        if (leaf !== undefined) rebuilt.set(value, leaf);
        else {
          const operands = value.operands.map((operand) => rebuilt.get(operand)!);
          const same = operands.every((operand, i) => operand === value.operands[i]);
          rebuilt.set(value, same ? value : { ...value, operands });
        }
      }
      return rebuilt.get(root)!;
    };
    const leafOf = (value: Value): Value | undefined => {
      if (isOp(value, "input")) {
        const name = current.get(value);
        if (name === undefined) inputs.set(value.attrs.name, value);
        else variables[name] = { current: value, next: value };
        return value;
      }
      if (isOp(value, "allReduce")) {
        const sum = input(sumName(value), value.dtype, value.shape);
        inputs.set(sum.attrs.name, sum);
        return sum;
      }
      if (levelOf(value) >= at || cheapOps.has(value.op)) return undefined;
      kept[levelOf(value)]!.add(value);
      const before = input(keptName(value), value.dtype, value.shape);
      variables[before.attrs.name] = { current: before, next: before };
      return before;
    };

    const outputs: Record<string, Value> = {};
    for (const [name, value] of plainOutputs) if (levelOf(value) === at) outputs[name] = rebuild(value);
    const own = sums.filter((value) => levelOf(value) === at);
    for (const value of own) outputs[sumName(value)] = rebuild(value.operands[0]!);
    if (at === last) {
      for (const [name, variable] of Object.entries(graph.variables)) {
        if (variable.next !== variable.current) variables[name] = { ...variable, next: rebuild(variable.next) };
      }
    }
    for (const value of kept[at]!) {
      const name = keptName(value);
      variables[name] = { current: input(name, value.dtype, value.shape), next: rebuild(value) };
    }
    for (const name of Object.keys(variables)) placed.add(name);
    if (at === 0) {
      for (const [name, variable] of Object.entries(graph.variables)) {
        if (!placed.has(name)) variables[name] = { current: variable.current, next: variable.current };
      }
    }
    sections.unshift({
      graph: defineGraph({ name: `${graph.name}/${at}`, inputs: [...inputs.values()], variables, outputs }),
      sums: own.map((value) => ({
        name: sumName(value),
        arrival: value.attrs.arrival,
        size: sizeOf(value.shape),
      })),
    });
  }
  return { sections, summedOutputs };
}

/** The section of each value, the earliest possible; infinite for what depends on late sums: the last one. */
function levelsOf(graph: Graph, parts: number): Map<Value, number> {
  const level = new Map<Value, number>();
  for (const value of graph.values) {
    const before = value.operands.map((operand) => {
      if (!isOp(operand, "allReduce")) return level.get(operand)!;
      return operand.attrs.arrival === "late" ? Number.POSITIVE_INFINITY : level.get(operand)! + 1;
    });
    const own = Math.max(0, ...before);
    if (isOp(value, "allReduce") && own === Number.POSITIVE_INFINITY) {
      throw new PipelineError("GRAPH_INVALID", `graph ${graph.name}: a sum over processes depends on a late one`);
    }
    level.set(value, own);
  }
  const late = graph.values.filter((value) => isOp(value, "allReduce")) as Value<"allReduce">[];
  if (parts > 1 && late.length > 0 && late.every((value) => value.attrs.arrival === "late")) {
    const depth = depthsOf(graph);
    divideBySize(
      level,
      late.toSorted((a, b) => depth.get(a)! - depth.get(b)!),
      parts,
    );
  }
  return level;
}

/** Operations on the longest way to each value: gradients come in the order of the backward pass. */
function depthsOf(graph: Graph): Map<Value, number> {
  const depth = new Map<Value, number>();
  for (const value of graph.values) {
    depth.set(value, 1 + Math.max(0, ...value.operands.map((operand) => depth.get(operand)!)));
  }
  return depth;
}

/** Puts the sums, in the order in which they are computed, and what they need into `parts` sections of equal size. */
function divideBySize(level: Map<Value, number>, sums: readonly Value[], parts: number): void {
  const total = sums.reduce((size, sum) => size + sizeOf(sum.shape), 0);
  for (const [value, own] of level) if (own === 0) level.set(value, parts - 1);
  const done = new Set<Value>();
  let size = 0;
  for (const sum of sums) {
    const part = Math.min(parts - 1, Math.floor((size / total) * parts));
    size += sizeOf(sum.shape);
    const stack = [sum];
    while (stack.length > 0) {
      const value = stack.pop()!;
      if (done.has(value)) continue;
      done.add(value);
      level.set(value, part);
      stack.push(...value.operands);
    }
  }
}
