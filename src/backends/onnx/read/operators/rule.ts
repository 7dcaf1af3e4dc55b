import type { Item } from "../item.ts";
import type { OnnxNode } from "../onnx-node.ts";

/** What an operator's results are; it throws MODEL_UNSUPPORTED for a form that the closed set can't express. */
export type ReadRule = (node: OnnxNode) => Item | readonly Item[];
