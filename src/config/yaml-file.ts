import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { PipelineError } from "../base/errors.ts";
import { isPlainObject } from "./flatten.ts";
import type { ConfigLayer } from "./layer.ts";
import { describeYamlFault } from "./yaml-fault.ts";

const maxBytes = 256 * 1024;
const maxAliases = 100;

/**
 * Reads a YAML file as a configuration layer whose sources know their lines.
 * @throws CONFIG_UNREADABLE when the file is missing, larger than 256 KiB, no valid YAML or no mapping
 */
export function readYamlLayer(file: string): ConfigLayer {
  return parseYamlLayer(readBounded(file), file);
}

/** As readYamlLayer, for text that is already there; `file` is the name used in messages. */
function parseYamlLayer(text: string, file: string): ConfigLayer {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: "1.2" });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    const list = faults
      .slice(0, 20)
      .map((fault) => `${file}:${lines.linePos(fault.pos[0]).line}: ${describeYamlFault(fault)}`);
    throw new PipelineError("CONFIG_UNREADABLE", `not valid YAML: ${list.join("; ")}`, {
      details: { file, faults: list },
    });
  }
  const tree = toTree(document, file);
  return {
    tree,
    source: (path) => {
      const offset = offsetOf(document, path);
      return { kind: "file", file, line: offset === undefined ? undefined : lines.linePos(offset).line };
    },
  };
}

function toTree(document: Document, file: string): Readonly<Record<string, unknown>> {
  let tree: unknown;
  try {
    tree = document.toJS({ maxAliasCount: maxAliases }) ?? {};
  } catch (cause) {
    throw new PipelineError("CONFIG_UNREADABLE", `${file}: an alias (*name) has no anchor, or stands for too much`, {
      cause,
      remedy: "write the values out instead of using aliases",
      details: { file },
    });
  }
  if (!isPlainObject(tree))
    throw new PipelineError("CONFIG_UNREADABLE", `${file} holds ${Array.isArray(tree) ? "a list" : "a single value"}`, {
      remedy: "start it with a section such as `training:`",
      details: { file },
    });
  return tree;
}

/** Offset of the key at `path`, or of the deepest part of the path that the document has. */
function offsetOf(document: Document, path: readonly string[]): number | undefined {
  let node: Node | null | undefined = document.contents;
  let offset: number | undefined;
  for (const name of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === name);
      if (pair === undefined) break;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value as Node | null;
    } else if (isSeq(node)) {
      node = node.items[Number(name)] as Node | undefined;
      offset = node?.range?.[0] ?? offset;
    } else break;
  }
  return offset;
}

function readBounded(file: string): string {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch (cause) {
    throw new PipelineError("CONFIG_UNREADABLE", `cannot open the configuration ${file}: ${(cause as Error).message}`, {
      cause,
      remedy: "check the path given with --config",
      details: { file },
    });
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile())
      throw new PipelineError("CONFIG_UNREADABLE", `the configuration ${file} is no file`, {
        remedy: "give the path of a YAML file",
        details: { file },
      });
    if (stat.size > maxBytes)
      throw new PipelineError("CONFIG_UNREADABLE", `the configuration ${file} has ${stat.size} bytes`, {
        remedy: `keep it below ${maxBytes}`,
        details: { file, bytes: stat.size },
      });
    return decodeText(readFileSync(descriptor), file);
  } finally {
    closeSync(descriptor);
  }
}

/** UTF-8 and UTF-16, the latter by its byte-order mark. */
function decodeText(bytes: Uint8Array, file: string): string {
  const [first, second] = bytes;
  const encoding =
    first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  let text: string | undefined;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    // Not this encoding: reported below.
  }
  if (text !== undefined && !text.includes("\0")) return text;
  const what = text === undefined ? `is not in ${encoding.toUpperCase()} (in Latin-1, perhaps)` : "holds zero bytes";
  throw new PipelineError("CONFIG_UNREADABLE", `the configuration ${file} ${what}`, {
    remedy: "save it with the encoding UTF-8",
    details: { file },
  });
}
