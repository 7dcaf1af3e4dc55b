import type { FastifyRouteSchemaDef, FastifyValidationResult } from "fastify/types/schema.js";
import { validatorCompiler } from "fastify-type-provider-zod";
import type { ZodType } from "zod";

/** Validates JSON bodies and everything that is no body; a form or raw bytes are read and judged by the handler. */
export function validatorOfJsonBodies<T>(route: FastifyRouteSchemaDef<T>): FastifyValidationResult {
  const { contentType } = route as { readonly contentType?: string };
  if (route.httpPart === "body" && contentType !== "application/json") return (value) => ({ value });
  return validatorCompiler(route as FastifyRouteSchemaDef<ZodType>) as FastifyValidationResult;
}
