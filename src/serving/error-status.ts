import type { ErrorCode } from "../base/error-codes.ts";

/** HTTP status of each error that can reach a client; every other code is a fault of ours and shows as INTERNAL_ERROR. */
export const errorStatus = {
  DEADLINE_EXCEEDED: 503,
  IMAGE_CORRUPT: 400,
  IMAGE_EMPTY: 400,
  IMAGE_TOO_LARGE: 413,
  IMAGE_UNSUPPORTED: 415,
  INFERENCE_FAILED: 503,
  INFERENCE_UNAVAILABLE: 503,
  INTERNAL_ERROR: 500,
  METHOD_NOT_ALLOWED: 405,
  QUEUE_FULL: 503,
  REQUEST_INVALID: 400,
  REQUEST_TOO_LARGE: 413,
  ROUTE_NOT_FOUND: 404,
  SHUTTING_DOWN: 503,
  UNSUPPORTED_MEDIA_TYPE: 415,
} as const satisfies Partial<Record<ErrorCode, number>>;

export type ClientErrorCode = keyof typeof errorStatus;

export function isClientErrorCode(code: ErrorCode): code is ClientErrorCode {
  return Object.hasOwn(errorStatus, code);
}
