import { PipelineError } from "../../base/errors.ts";

/** Whole numbers from 0 to 255 out of JSON arrays, flat or regularly nested. */
export interface PackedBytes {
  readonly bytes: Uint8Array;
  /** Of the nested arrays. */
  readonly shape: readonly number[];
}

export function isPackedBytes(value: unknown): value is PackedBytes {
  return typeof value === "object" && value !== null && "bytes" in value && value.bytes instanceof Uint8Array;
}

/** Shorter arrays are left as they are. */
const leastPacked = 1024;
const mostValues = 20_000;
const mostDepth = 16;
/** [N, 3, height, width] has four. */
const mostAxes = 8;

/**
 * Parses JSON and makes it small enough to be passed to another thread and looked at there: pixels become PackedBytes.
 * @throws REQUEST_INVALID when it is no JSON, is nested deeply, names a prototype or has many values that are no pixels
 */
export function compactJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid("the body is no JSON", cause);
  }
  let values = 0;
  const compact = (value: unknown, depth: number): unknown => {
    if (++values > mostValues) {
      throw invalid(
        `the JSON has more than ${mostValues} values besides regular arrays of whole numbers from 0 to 255`,
      );
    }
    if (typeof value !== "object" || value === null) return value;
    if (depth > mostDepth) throw invalid(`the JSON is nested more than ${mostDepth} deep`);
    if (Array.isArray(value)) return packed(value) ?? value.map((element) => compact(element, depth + 1));
    if (Object.hasOwn(value, "__proto__")) throw invalid("the JSON has the forbidden key __proto__");
    return Object.fromEntries(Object.entries(value).map(([key, element]) => [key, compact(element, depth + 1)]));
  };
  return compact(value, 0);
}

function packed(array: readonly unknown[]): PackedBytes | undefined {
  const shape: number[] = [];
  let first: unknown = array;
  for (; Array.isArray(first) && shape.length < mostAxes; first = first[0]) shape.push(first.length);
  const length = shape.reduce((product, size) => product * size, 1);
  if (typeof first !== "number" || length < leastPacked || length > 2 ** 28) return undefined;
  const bytes = new Uint8Array(length);
  let at = 0;
  const fill = (values: readonly unknown[], axis: number): boolean => {
    if (values.length !== shape[axis]) return false;
    for (const value of values) {
      if (axis < shape.length - 1) {
        if (!Array.isArray(value) || !fill(value, axis + 1)) return false;
      } else {
        if (typeof value !== "number") return false;
        bytes[at] = value;
        if (bytes[at++] !== value) return false;
      }
    }
    return true;
  };
  return fill(array, 0) ? { bytes, shape } : undefined;
}

function invalid(message: string, cause?: unknown): PipelineError {
  return new PipelineError("REQUEST_INVALID", message, { remedy: "see /docs for what the route takes", cause });
}
