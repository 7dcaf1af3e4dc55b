import { Socket } from "node:net";
import type { FastifyInstance } from "fastify";

/**
 * Ends connections whose request was answered before its body had come in two steps: no more is written at once, and
 * what still arrives is read and dropped until the body has passed, the client hangs up, or the time is over. A socket
 * that is closed with unread bytes resets the connection, and the reset overtakes the answer: the client would see a
 * broken pipe instead of the 413.
 *
 * @param options.lingerMs how long the rest of a body is read, default 30 s
 */
export function installLingeringClose(
  app: FastifyInstance,
  { lingerMs = 30_000 }: { readonly lingerMs?: number } = {},
): void {
  app.addHook("onRequest", async ({ raw }) => {
    const { socket } = raw;
    // What the server calls once the last answer of a connection is written.
    socket.destroySoon = () => {
      const close = () => Socket.prototype.destroySoon.call(socket);
      if (raw.complete || raw.destroyed) return close();
      socket.end();
      raw.unpipe();
      raw.resume();
      const giveUp = setTimeout(() => socket.destroy(), lingerMs).unref();
      raw.once("close", () => {
        clearTimeout(giveUp);
        close();
      });
    };
  });
}
