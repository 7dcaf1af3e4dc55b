import { maxHeaderSize } from "node:http";
import type { Socket } from "node:net";
import { apiErrorOf } from "./api-error.ts";
import { type ClientErrorCode, errorStatus } from "./error-status.ts";
import { requestIdOf } from "./request-id.ts";
import { securityHeaders } from "./security-headers.ts";

const reasons: Partial<Record<string, { readonly code: ClientErrorCode; readonly message: string }>> = {
  ERR_HTTP_REQUEST_TIMEOUT: { code: "REQUEST_TIMEOUT", message: "the headers of the request did not arrive in time" },
  HPE_HEADER_OVERFLOW: {
    code: "REQUEST_HEADERS_TOO_LARGE",
    message: `the headers of the request have more than ${maxHeaderSize} bytes; send fewer or smaller ones (cookies?)`,
  },
};

const statusTexts: Partial<Record<number, string>> = {
  408: "Request Timeout",
  431: "Request Header Fields Too Large",
};

/** Answers what never became a request: no route, hook or reply can. */
export function answerBrokenRequest({ code = "" }: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const reason = reasons[code] ?? { code: "REQUEST_INVALID", message: `the HTTP request is malformed: ${code}` };
  const status = errorStatus[reason.code];
  const text = JSON.stringify(apiErrorOf(reason.code, reason.message, requestIdOf({ headers: {} })));
  socket.end(
    `HTTP/1.1 ${status} ${statusTexts[status] ?? "Bad Request"}\r\n` +
      "Content-Type: application/json; charset=utf-8\r\nConnection: close\r\n" +
      `X-Content-Type-Options: ${securityHeaders["x-content-type-options"]}\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}
