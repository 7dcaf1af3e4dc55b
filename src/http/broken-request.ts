import { maxHeaderSize } from "node:http";
import type { Socket } from "node:net";
import { type ClientErrorCode, errorStatus } from "./errors/error-status.ts";
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

/** The body of an error in the words of an API. */
export type ErrorBody = (code: ClientErrorCode, message: string, requestId: string) => object;

/** Answers what never became a request: no route, hook or reply can. */
export function brokenRequestHandler(bodyOf: ErrorBody): (error: NodeJS.ErrnoException, socket: Socket) => void {
  return ({ code = "" }, socket) => {
    if (!socket.writable || code === "ECONNRESET") {
      socket.destroy();
      return;
    }
    const reason = reasons[code] ?? { code: "REQUEST_INVALID", message: `the HTTP request is malformed: ${code}` };
    endWith(socket, errorStatus[reason.code], bodyOf(reason.code, reason.message, requestIdOf({ headers: {} })));
  };
}

function endWith(socket: Socket, status: number, body: object): void {
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${status} ${statusTexts[status] ?? "Bad Request"}\r\n` +
      "Content-Type: application/json; charset=utf-8\r\nConnection: close\r\n" +
      `X-Content-Type-Options: ${securityHeaders["x-content-type-options"]}\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}
