import { z } from "zod";

/** Numbers that are not finite have no JSON: they come as null. */
const figures = z.record(z.string(), z.number().nullable());

/**
 * What the process of a trial prints, one JSON line each. A process that goes on with a trial prints the lines of its
 * predecessors first, so that nothing is lost that was said while nobody listened.
 */
const trialMessageSchema = z.discriminatedUnion("type", [
  /** The process works; `step` of `steps` is where it is. */
  z.object({ type: z.literal("heartbeat"), step: z.number().optional(), steps: z.number().optional() }),
  z.object({ type: z.literal("run"), runId: z.string(), trackingRunId: z.string().optional() }),
  z.object({ type: z.literal("report"), step: z.int().min(0), metrics: figures, flops: z.number() }),
  z.object({
    type: z.literal("result"),
    /** paused: it came to the step at which it was to halt; stopped: it was told to stop, and has saved. */
    outcome: z.enum(["complete", "paused", "stopped", "diverged", "failed"]),
    step: z.int().min(0),
    bundle: z.string().optional(),
    error: z.string().optional(),
  }),
]);

export type TrialMessage = Readonly<z.infer<typeof trialMessageSchema>>;

/** Marks the lines that count among whatever else a job prints. */
const mark = "@trial ";

export function formatTrialMessage(message: TrialMessage): string {
  return `${mark}${JSON.stringify(message)}`;
}

/** @returns undefined for any other line */
export function parseTrialMessage(line: string): TrialMessage | undefined {
  const start = line.indexOf(mark);
  if (start < 0) return undefined;
  try {
    const result = trialMessageSchema.safeParse(JSON.parse(line.slice(start + mark.length)));
    return result.success ? result.data : undefined;
  } catch (error) {
    // Half a line: its process was killed while it wrote.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
