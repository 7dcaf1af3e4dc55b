import { z } from "zod";

/**
 * What happened to a study, one line of its journal each. The state of a study is a function of these lines alone.
 * Times are milliseconds since 1970.
 */

const parameterValue = z.union([z.string(), z.number(), z.boolean(), z.null()]);

const domain = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("range"),
    min: z.number(),
    max: z.number(),
    scale: z.enum(["linear", "log"]),
    integer: z.boolean(),
  }),
  z.strictObject({ kind: z.literal("choice"), values: z.array(parameterValue).readonly() }),
]);

const dimension = z.strictObject({
  domain,
  when: z.strictObject({ parameter: z.string(), values: z.array(parameterValue).readonly() }).optional(),
});

export const endReasons = [
  "complete",
  "pruned",
  "diverged",
  "budget",
  "paused",
  "failed",
  "lost",
  "interrupted",
] as const;

const trial = z.int().min(0);
const at = z.number();

const studyEventSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("study"),
    formatVersion: z.literal(1),
    studyId: z.string(),
    at,
    metric: z.string(),
    direction: z.enum(["minimize", "maximize"]),
    space: z.strictObject({ dimensions: z.record(z.string(), dimension) }),
    sampler: z.string(),
    pruner: z.string(),
    /** Steps of a whole trial. */
    maxSteps: z.int().min(1),
  }),
  /** A tuner opened the study. */
  z.object({ type: z.literal("session"), at, parentRunId: z.string().optional() }),
  z.object({ type: z.literal("created"), trial, at, params: z.record(z.string(), parameterValue) }),
  /** `until`: the step at which the trial halts of itself. */
  z.object({ type: z.literal("started"), trial, at, handle: z.string(), until: z.int().min(1) }),
  z.object({ type: z.literal("run"), trial, at, runId: z.string(), trackingRunId: z.string().optional() }),
  z.object({
    type: z.literal("report"),
    trial,
    at,
    step: z.int().min(0),
    value: z.number(),
    /** Of the trial so far. */
    flops: z.number(),
  }),
  /** Noted before a trial is told to stop, so that a later tuner knows why it ended. */
  z.object({ type: z.literal("stopping"), trial, at, reason: z.enum(["pruned", "budget", "interrupted"]) }),
  z.object({
    type: z.literal("ended"),
    trial,
    at,
    reason: z.enum(endReasons),
    bundle: z.string().optional(),
    error: z.string().optional(),
  }),
  z.object({ type: z.literal("finished"), at, best: trial.optional(), bundle: z.string().optional() }),
]);

export type StudyEvent = Readonly<z.infer<typeof studyEventSchema>>;

export type StudyHead = Extract<StudyEvent, { type: "study" }>;

/** @returns undefined for a line that is no event */
export function parseStudyEvent(line: string): StudyEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // Not JSON, so no event: the caller knows whether that may be.
    return undefined;
  }
  const result = studyEventSchema.safeParse(value);
  return result.success ? result.data : undefined;
}
