import { isPipelineError, type PipelineError } from "../../../base/errors.ts";
import type { Value } from "../../../graph/value.ts";
import { sizeOf } from "../../../tensor/shape.ts";
import type { NodeProto } from "../proto/onnx_pb.ts";
import { damagedModel, shown } from "./errors.ts";
import { type Item, isKnown, isValue } from "./item.ts";
import { checkShape, knownOf, maxComputed } from "./known.ts";
import { knownRules } from "./known-operators.ts";
import type { OnnxFile } from "./onnx-file.ts";
import { type BatchSizes, nodeName, OnnxNode } from "./onnx-node.ts";
import { readRules } from "./operators.ts";
import { lackingOperators, type Problem } from "./problems.ts";

export interface Evaluation {
  readonly file: OnnxFile;
  /** The nodes to read, operands before users. */
  readonly nodes: readonly NodeProto[];
  readonly batch: BatchSizes;
  /** Values that are there before: the images by their name, and weights. */
  readonly given: ReadonlyMap<string, Value>;
  readonly images: Value;
}

/**
 * Builds the nodes' part of the graph. @returns what a name of the file stands for
 * @throws MODEL_UNSUPPORTED naming every operator that is lacking; MODEL_DAMAGED
 */
export function evaluateNodes({ file, nodes, batch, given, images }: Evaluation): (name: string) => Item {
  const items = new Map<string, Item>(given);
  const dependent = new Set<Value>([images]);
  const unreadable = new Set<string>();
  const problems: Problem[] = [];
  const find = (name: string): Item => {
    const item = items.get(name);
    if (item !== undefined) return item;
    const tensor = file.tensors.get(name);
    if (tensor === undefined) throw damagedModel(`there is no ${shown(name)}`);
    const known = knownOf(tensor, name);
    items.set(name, known);
    return known;
  };
  for (const proto of nodes) {
    if (proto.input.some((name) => unreadable.has(name))) {
      for (const name of proto.output) unreadable.add(name);
      // Its own operator may be lacking too.
      const { rule, knownRule } = rulesOf(proto);
      if (rule === undefined && knownRule === undefined) problems.push(problemOf(proto, "not in the set"));
      continue;
    }
    try {
      const operands = proto.input.map((name) => (name === "" ? undefined : find(name)));
      const node = new OnnxNode(proto, {
        ...{ opset: file.opset, batch, operands },
        dependsOnInput: (value) => dependent.has(value),
      });
      const results = resultsOf(node, proto);
      const depends = operands.some((item) => item !== undefined && isValue(item) && dependent.has(item));
      for (const [i, name] of proto.output.entries()) {
        const result = results[i];
        if (result === undefined) {
          if (name !== "") unreadable.add(name);
          continue;
        }
        checkResult(node, result);
        if (isValue(result) && depends) dependent.add(result);
        items.set(name, result);
      }
    } catch (error) {
      if (!isPipelineError(error)) throw error;
      const { why } = error.details;
      if (error.code !== "MODEL_UNSUPPORTED" || typeof why !== "string") throw inNode(proto, error);
      for (const name of proto.output) unreadable.add(name);
      problems.push(problemOf(proto, why));
    }
  }
  if (problems.length > 0) throw lackingOperators(problems);
  return find;
}

function problemOf(node: NodeProto, why: string): Problem {
  return { operator: operatorName(node), node: nodeName(node), why };
}

/** How a standard operator is read, and how it is computed where all is known. */
function rulesOf({ domain, opType }: NodeProto) {
  const standard = domain === "" || domain === "ai.onnx";
  return {
    rule: standard && Object.hasOwn(readRules, opType) ? readRules[opType] : undefined,
    knownRule: standard && Object.hasOwn(knownRules, opType) ? knownRules[opType] : undefined,
  };
}

function resultsOf(node: OnnxNode, proto: NodeProto): readonly Item[] {
  const { rule, knownRule } = rulesOf(proto);
  const operands = node.operands.filter((item) => item !== undefined);
  const known = operands.filter(isKnown);
  const count = known.reduce((sum, { data }) => sum + data.length, 0);
  if (knownRule !== undefined && known.length > 0 && known.length === operands.length && count <= maxComputed) {
    return [knownRule(node, known)];
  }
  if (rule !== undefined) {
    const results = rule(node);
    return "length" in results ? results : [results];
  }
  return node.refuse(knownRule === undefined ? "not in the set" : "of what depends on the images");
}

function checkResult(node: OnnxNode, item: Item): void {
  if (!isValue(item)) return;
  checkShape(item.shape, `the result of ${shown(node.name)} (${node.type})`);
  if (sizeOf(item.shape) === 0) node.damaged(`its result [${item.shape}] is empty`);
}

function operatorName({ opType, domain }: NodeProto): string {
  return (domain === "" ? opType : `${domain}.${opType}`).slice(0, 120);
}

function inNode(node: NodeProto, error: PipelineError): PipelineError {
  if (error.code === "MODEL_DAMAGED" || error.code === "MODEL_UNSUPPORTED") return error;
  return damagedModel(`node ${shown(nodeName(node))} (${operatorName(node)}): ${error.message}`, error);
}
