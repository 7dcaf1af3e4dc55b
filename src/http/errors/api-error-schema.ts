import { z } from "zod";
import { type ClientErrorCode, errorStatus } from "./error-status.ts";

export const apiErrorSchema = z
  .object({
    code: z
      .enum(Object.keys(errorStatus) as [ClientErrorCode])
      .meta({ description: "Stable machine-readable reason", example: "IMAGE_CORRUPT" }),
    message: z.string().meta({ description: "What is wrong and what to do about it" }),
    request_id: z.string(),
    detail: z.string().meta({ description: "The same as message, under the name that older clients read" }),
  })
  .meta({
    id: "Error",
    description: "The one shape of every error answer",
    examples: [
      {
        code: "IMAGE_CORRUPT",
        message: "the image is truncated or damaged: premature end; save the image again and retry",
        request_id: "5f0c7c52-6a8e-4d0a-8a2b-8d7d4f0f9a51",
        detail: "the image is truncated or damaged: premature end; save the image again and retry",
      },
    ],
  });

/** For the `response` of a route: the same shape for each status. */
export function errorResponses<S extends number>(...statuses: S[]): Record<S, typeof apiErrorSchema> {
  return Object.fromEntries(statuses.map((status) => [status, apiErrorSchema])) as Record<S, typeof apiErrorSchema>;
}

export type ApiError = z.infer<typeof apiErrorSchema>;
