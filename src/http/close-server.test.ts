import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { boundedClose } from "./close-server.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function listening(answer: Answer) {
  const server = createServer(answer);
  const closeWithin = boundedClose(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => server.closeAllConnections());
  const { port } = server.address() as AddressInfo;
  const close = () => new Promise<void>((resolve) => server.close(() => resolve()));
  return { server, port, close: (timeoutMs: number) => closeWithin({ close, timeoutMs }) };
}

async function send(port: number, text: string): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.write(text);
  return socket;
}

/** Longer than any test: what ends before has not waited for it. */
const forever = 3_600_000;

describe("boundedClose", () => {
  it("answers what has arrived first, then ends idle and half-sent connections", async () => {
    let finish = (): void => undefined;
    const { server, port, close } = await listening((_, response) => {
      finish = () => response.end("done");
    });
    const sockets = [await send(port, ""), await send(port, "GET / HT"), await send(port, "GET / HTTP/1.1\r\nHost: a")];
    const answer = once(request({ port, host: "127.0.0.1" }).end(), "response");
    await once(server, "request");
    const closed = close(forever);
    finish();
    const [response] = (await answer) as [IncomingMessage];
    expect((await response.toArray()).join("")).toBe("done");
    await closed;
    await vi.waitFor(() => expect(sockets.every(({ closed: gone, destroyed }) => gone || destroyed)).toBe(true));
  });

  it("ends an upload that does not come to its end when the time is over", async () => {
    const { server, port, close } = await listening((incoming) => incoming.resume());
    const socket = await send(port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome");
    await once(server, "request");
    await close(50);
    await vi.waitFor(() => expect(socket.closed).toBe(true));
  });

  it("ends at once without any request", async () => {
    const { port, close } = await listening(() => undefined);
    await send(port, "");
    await close(forever);
  });
});
