import { z } from "zod";

const rank = z.int().min(0).max(65_535);
const generation = z.int().min(0);
const address = z.strictObject({ host: z.string().min(1).max(255), port: z.int().min(0).max(65_535) });

/** What a process says to the coordinator. */
export const memberMessage = z.discriminatedUnion("type", [
  /** Who it is; answered by "welcome". */
  z.strictObject({ type: z.literal("hello"), rank, hostname: z.string().max(255), pid: z.int().min(1) }),
  /** It is ready to be in a group, reached there by its neighbours. */
  z.strictObject({ type: z.literal("join"), address }),
  z.strictObject({ type: z.literal("beat") }),
  /** Anything that the training tells. */
  z.strictObject({ type: z.literal("report"), report: z.unknown() }),
  /** It has done its part. */
  z.strictObject({ type: z.literal("done") }),
]);

export type MemberMessage = z.infer<typeof memberMessage>;

/** What the coordinator says to a process. */
export const coordinatorMessage = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("welcome"),
    worldSize: z.int().min(1),
    transport: z.enum(["tcp", "mpi"]),
    heartbeatTimeoutMs: z.number().positive(),
    callTimeoutMs: z.number().positive(),
    rejoinTimeoutMs: z.number().positive(),
    algorithm: z.enum(["auto", "ring", "tree"]),
    /** What is to be done. */
    task: z.unknown(),
  }),
  z.strictObject({ type: z.literal("group"), generation, members: z.array(address) }),
  /** The group is no more: join the next one. */
  z.strictObject({ type: z.literal("lost"), reason: z.string() }),
  z.strictObject({ type: z.literal("beat") }),
  /** Stop when it suits. */
  z.strictObject({ type: z.literal("stop") }),
  /** All is done. */
  z.strictObject({ type: z.literal("end") }),
]);

export type CoordinatorMessage = z.infer<typeof coordinatorMessage>;
export type Welcome = Extract<CoordinatorMessage, { type: "welcome" }>;

/** Reports hold metrics and error messages, no images or weights; the largest are confusion matrices of many classes. */
export const maxMessageBytes = 32 * 2 ** 20;
