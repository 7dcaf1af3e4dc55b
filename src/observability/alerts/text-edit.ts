import { type Document, parseDocument, type Scalar } from "yaml";
import { PipelineError } from "../../base/errors.ts";

/** Part of a text and what takes its place. */
export interface TextEdit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Everything outside the edits stays byte for byte: comments, order, quoting. */
export function applyEdits(source: string, edits: readonly TextEdit[]): string {
  return [...edits]
    .sort((a, b) => b.start - a.start)
    .reduce((text, { start, end, text: replacement }) => text.slice(0, start) + replacement + text.slice(end), source);
}

/** @throws CONFIG_INVALID, with the place of the mistake */
export function parseYaml(source: string, name: string): Document.Parsed {
  const document = parseDocument(source);
  const [error] = document.errors;
  if (error !== undefined) {
    throw new PipelineError("CONFIG_INVALID", `${name} is no valid YAML: ${error.message}`, {
      remedy: "repair the file",
      cause: error,
    });
  }
  return document;
}

/** Where the value of a scalar stands in its source, quotes included. */
export function rangeOf(scalar: Scalar): readonly [start: number, end: number] {
  const [start, end] = scalar.range ?? [0, 0];
  return [start, end];
}

/** Of a scalar's value, from 1. */
export function lineOf(source: string, scalar: Scalar): number {
  return source.slice(0, rangeOf(scalar)[0]).split("\n").length;
}
