import type { Server, ServerResponse } from "node:http";

/** From the call of a server's close() to its end, unless it is told otherwise: containers are killed after 10 s. */
export const defaultShutdownTimeoutMs = 7000;

export interface BoundedClose {
  /** What stops the listener and resolves when the last connection has gone. */
  readonly close: () => Promise<unknown>;
  readonly timeoutMs: number;
}

/**
 * Lets a server close in bounded time: what has arrived is answered, then connections without a request go at once
 * (browsers open some in advance, others have sent half a request), and at the end of the time all that are left.
 * Call it before the server listens.
 */
export function boundedClose(server: Server): (options: BoundedClose) => Promise<void> {
  const unanswered = new Set<ServerResponse>();
  let wake = (): void => undefined;
  server.on("request", (_request, response: ServerResponse) => {
    unanswered.add(response);
    response.once("close", () => {
      unanswered.delete(response);
      if (unanswered.size === 0) wake();
    });
  });
  return async ({ close, timeoutMs }) => {
    const closed = close();
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, timeoutMs);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
      closed.then(wake, reject);
      if (unanswered.size === 0) wake();
    });
    server.closeAllConnections();
    await closed;
  };
}
