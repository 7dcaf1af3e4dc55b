import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import fastify, { type FastifyInstance } from "fastify";
import { expect, it, onTestFinished } from "vitest";
import { installLingeringClose } from "./lingering-close.ts";

const length = 30_000_000;

async function listen(options?: { readonly lingerMs: number }): Promise<FastifyInstance> {
  const app: FastifyInstance = fastify({ bodyLimit: 1_000_000, logger: false });
  onTestFinished(() => app.close());
  installLingeringClose(app, options);
  app.post("/", async () => "done");
  await app.listen({ port: 0, host: "127.0.0.1" });
  return app;
}

async function open(app: FastifyInstance, headers: readonly string[] = []): Promise<Socket> {
  const { port } = app.server.address() as AddressInfo;
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  const lines = ["POST / HTTP/1.1", "Host: localhost", "Content-Type: application/json", `Content-Length: ${length}`];
  socket.write([...lines, ...headers, "", ""].join("\r\n"));
  return socket;
}

async function rest(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  await once(socket, "end");
  return text;
}

it.each(["keep-alive", "close"])(
  "gives its answer to a client that reads only when it has sent everything, connection: %s",
  async (connection) => {
    const socket = await open(await listen(), [`Connection: ${connection}`]);
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.write(Buffer.alloc(length, 0x20), () => resolve());
    });
    const answer = await rest(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain("FST_ERR_CTP_BODY_TOO_LARGE");
  },
);

it("ends the answer at once, and the connection of a client that never sends the rest", async () => {
  const app = await listen({ lingerMs: 50 });
  expect(await rest(await open(app))).toMatch(/^HTTP\/1\.1 413 /);
  const connections = () => new Promise((resolve) => app.server.getConnections((_, count) => resolve(count)));
  await expect.poll(connections).toBe(0);
});
