import { isPipelineError, type PipelineError } from "../../../base/errors.ts";
import type { Value } from "../../../graph/value.ts";
import { sizeOf } from "../../../tensor/shape.ts";
import type { NodeProto } from "../proto/onnx_pb.ts";
import { damagedModel, shown } from "./errors.ts";
import { type Item, isKnown, isValue } from "./item.ts";
import { checkShape, type Known, knownOf, maxComputed } from "./known.ts";
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
      problems.push({ operator: operatorName(proto), node: nodeName(proto), why });
    }
  }
  if (problems.length > 0) throw lackingOperators(problems);
  return find;
}

function resultsOf(node: OnnxNode, { domain }: NodeProto): readonly Item[] {
  const standard = domain === "" || domain === "ai.onnx";
  const known = node.operands.filter((item): item is Known => item !== undefined && isKnown(item));
  const isAllKnown = known.length > 0 && known.length === node.operands.filter((item) => item !== undefined).length;
  const count = known.reduce((sum, { data }) => sum + data.length, 0);
  const knownRule = standard && Object.hasOwn(knownRules, node.type) ? knownRules[node.type] : undefined;
  if (knownRule !== undefined && isAllKnown && count <= maxComputed) return [knownRule(node, known)];
  const rule = standard && Object.hasOwn(readRules, node.type) ? readRules[node.type] : undefined;
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
