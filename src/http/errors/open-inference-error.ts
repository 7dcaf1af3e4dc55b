import { z } from "zod";
import { type ApiError, apiErrorSchema } from "./api-error-schema.ts";

/** The error of an Open Inference Protocol route: the protocol calls the message "error". */
export const v2ErrorSchema = apiErrorSchema
  .extend({ error: z.string().meta({ description: "The same as message, under the protocol's name" }) })
  .meta({ id: "V2Error", examples: [] });

export function v2Errors<S extends number>(...statuses: S[]): Record<S, typeof v2ErrorSchema> {
  return Object.fromEntries(statuses.map((status) => [status, v2ErrorSchema])) as Record<S, typeof v2ErrorSchema>;
}

export function isOpenInferenceRoute(url: string): boolean {
  return /^\/v2(?:[/?]|$)/.test(url);
}

export function openInferenceErrorOf(error: ApiError): ApiError & { readonly error: string } {
  return { ...error, error: error.message };
}
