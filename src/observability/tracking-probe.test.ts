import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { createExposition } from "./exposition.ts";
import { createInstruments } from "./instruments.ts";
import { metricTable } from "./metric-table.ts";
import { trackingProbe } from "./tracking-probe.ts";

async function serve(
  listener: RequestListener,
): Promise<{ readonly url: string; readonly close: () => Promise<void> }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  onTestFinished(close);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, close };
}

const instruments = () => createInstruments(createExposition().registry, metricTable);

async function figure(all: ReturnType<typeof instruments>): Promise<number | undefined> {
  return (await all.tracking_up.get()).values[0]?.value;
}

it("is 1 while the server answers, also when it wants a login, and 0 when it fails", async () => {
  for (const [status, expected] of [
    [200, 1],
    [401, 1],
    [500, 0],
  ] as const) {
    const all = instruments();
    const { url } = await serve((_, response) => response.writeHead(status).end());
    await trackingProbe(url)(all);
    expect(await figure(all)).toBe(expected);
  }
});

it("is 0 when nobody answers, or too late, and is looked at again only after a while", async () => {
  const all = instruments();
  let asked = 0;
  const { url, close } = await serve((_, response) => {
    if (asked++ === 0) response.end("OK");
  });
  let time = 0;
  const probe = trackingProbe(url, { timeoutMs: 200, now: () => time });
  await probe(all);
  await probe(all);
  expect([asked, await figure(all)]).toEqual([1, 1]);
  time += 15_000;
  // The scrape itself does not wait.
  await probe(all);
  expect(await figure(all)).toBe(1);
  const afterProbe = async () => {
    await probe(all);
    return figure(all);
  };
  const becomes = async (expected: number) => expect.poll(afterProbe, { timeout: 30_000 }).toBe(expected);
  await becomes(0);
  expect(asked).toBe(2);
  await close();
  const gone = instruments();
  await trackingProbe(url)(gone);
  expect(await figure(gone)).toBe(0);
});
