import { z } from "zod";
import type { PipelineError } from "../../base/errors.ts";
import { invalid } from "../validation.ts";

/** Requests are protobuf messages as JSON: whole numbers may come as text, absent and empty text are the same. */

const hint = "See the API docs for more information about request parameters.";

/** No message of the API has more than six. */
const maxDepth = 100;

export const text = z.string();
export const requiredText = z.string().min(1);

export const int = z
  .union([z.number().int(), z.string().regex(/^[-+]?\d+$/)])
  .transform(Number)
  .refine(Number.isSafeInteger, "must be a whole number below 2^53");

export const double = z.union([
  z.number(),
  z.enum(["NaN", "Infinity", "-Infinity"]).transform(Number),
  z
    .string()
    .regex(/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i)
    .transform(Number),
]);

export const flag = z.union([
  z.boolean(),
  z.enum(["true", "false", "True", "False"]).transform((word) => /^t/i.test(word)),
]);

/** In a query a list of one looks like a single value. */
export const list = <T extends z.ZodType>(item: T) =>
  z.preprocess((value) => (typeof value === "string" ? [value] : value), z.array(item));

export const tag = z.object({ key: requiredText, value: text.default("") });
export const tags = z.array(tag).default([]);

export const view = z
  .union([z.enum(["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]), int])
  .transform((word) => {
    if (word === "DELETED_ONLY" || word === 2) return "deleted";
    return word === "ALL" || word === 3 ? "all" : "active";
  })
  .default("active");

/** Puts names into snake_case (clients may send protobuf's other spelling) and leaves out null, which is absence. */
export function normalise(value: unknown, depth = 0): unknown {
  if (depth > maxDepth) throw invalid(`a message of more than ${maxDepth} levels`, hint);
  if (Array.isArray(value)) return value.map((item) => normalise(item, depth + 1));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== null && item !== undefined);
  return Object.fromEntries(entries.map(([key, item]) => [snakeCase(key), normalise(item, depth + 1)]));
}

function snakeCase(key: string): string {
  return /^[a-z]+[A-Za-z0-9]*$/.test(key) ? key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) : key;
}

/** @throws TRACKING_INVALID in MLflow's words */
export function parse<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(normalise(value));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw problem(issue, value);
}

function problem(issue: z.core.$ZodIssue | undefined, value: unknown): PipelineError {
  const path = (issue?.path ?? []).reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : `${text}${text === "" ? "" : "."}${String(part)}`),
    "",
  );
  const given = (issue?.path ?? []).reduce<unknown>(
    (inner, part) =>
      typeof inner === "object" && inner !== null ? (inner as Record<PropertyKey, unknown>)[part] : undefined,
    normalise(value),
  );
  if (given === undefined || given === "") return invalid(`Missing value for required parameter '${path}'.`, hint);
  const shown = JSON.stringify(given).slice(0, 200);
  return invalid(`Invalid value ${shown} for parameter '${path}' supplied: ${issue?.message ?? ""}.`, hint, { path });
}
