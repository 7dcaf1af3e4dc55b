import type { Graph } from "./graph.ts";
import { isOp, type Value } from "./value.ts";

/** Readable listing, one value a line: `%3 = conv2d(%1, %2) {strides=1,1} : float32[64,128,32,32]`. */
export function printGraph(graph: Graph): string {
  const names = new Map<Value, string>();
  graph.values.forEach((value, i) => {
    names.set(value, isOp(value, "input") ? `@${value.attrs.name}` : `%${i}`);
  });
  const ref = (value: Value): string => names.get(value) ?? "?";
  const lines = [`graph ${graph.name} {`];
  for (const value of graph.values) {
    const type = `${value.dtype}[${value.shape}]`;
    if (isOp(value, "input")) lines.push(`  ${ref(value)} : ${type}`);
    else
      lines.push(`  ${ref(value)} = ${value.op}(${value.operands.map(ref).join(", ")})${printAttrs(value)} : ${type}`);
  }
  for (const [name, { next }] of Object.entries(graph.variables)) lines.push(`  @${name} <- ${ref(next)}`);
  for (const [name, value] of Object.entries(graph.outputs)) lines.push(`  return ${name} = ${ref(value)}`);
  return [...lines, "}"].join("\n");
}

function printAttrs(value: Value): string {
  if (isOp(value, "constant")) {
    const { data } = value.attrs.tensor;
    const head = Array.from(data.slice(0, 4)).join(", ");
    return ` {${data.length > 4 ? `${head}, …` : head}}`;
  }
  const entries = Object.entries(value.attrs);
  return entries.length === 0 ? "" : ` {${entries.map(([key, attr]) => `${key}=${String(attr)}`).join(" ")}}`;
}
