import { connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { createRng } from "../../src/base/rng.ts";
import { ByteStream } from "../../src/distributed/tcp/byte-stream.ts";
import { ringAllReduceHalves } from "../../src/distributed/tcp/ring.ts";

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** Both ends of a connection on loopback. */
async function cable(): Promise<readonly [ByteStream, ByteStream]> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const near = connect((server.address() as { port: number }).port, "127.0.0.1");
  const far = await accepted;
  server.close();
  sockets.push(near, far);
  return [new ByteStream(near), new ByteStream(far)];
}

/** Sums over a ring of real connections: what each member has in the end. */
async function ringOf(worldSize: number) {
  const cables = await Promise.all(Array.from({ length: worldSize }, cable));
  return (data: readonly Float32Array[], residuals: readonly Float32Array[]) =>
    Promise.all(
      data.map((own, rank) =>
        ringAllReduceHalves(own, residuals[rank]!, {
          ...{ rank, worldSize, next: cables[rank]![0] },
          previous: cables[(rank + worldSize - 1) % worldSize]![1],
        }),
      ),
    );
}

// Several segments of 65,536 in each chunk, and a rest.
const length = 300_001;

describe.each([2, 3])("a ring of %i that sums halves", (worldSize) => {
  it("gives all the same bits, near the sum", async () => {
    const rng = createRng(worldSize);
    const inputs = Array.from({ length: worldSize }, () =>
      Float32Array.from({ length }, (_, i) => rng.normal() * (i % 2 === 0 ? 1 : 1e-6)),
    );
    const exact = Float64Array.from({ length }, (_, i) => inputs.reduce((sum, part) => sum + part[i]!, 0));
    const data = inputs.map((part) => part.slice());
    const sum = await ringOf(worldSize);
    await sum(
      data,
      data.map(() => new Float32Array(length)),
    );
    for (const other of data.slice(1))
      expect(Buffer.from(other.buffer).equals(Buffer.from(data[0]!.buffer))).toBe(true);
    let worst = 0;
    for (let i = 0; i < length; i++) {
      // Each rounding is by at most 2^-11 of a partial sum, which is no larger than the sum of the sizes.
      const size = inputs.reduce((total, part) => total + Math.abs(part[i]!), 0);
      worst = Math.max(worst, Math.abs(data[0]![i]! - exact[i]!) / size);
    }
    expect(worst).toBeGreaterThan(1e-5);
    expect(worst).toBeLessThan(worldSize * 2 ** -11);
  });

  it("loses nothing in the long run: what rounding takes away comes with the next sum", async () => {
    const rng = createRng(worldSize);
    const few = 5_000;
    const inputs = Array.from({ length: worldSize }, () => Float32Array.from({ length: few }, () => rng.normal()));
    const residuals = inputs.map(() => new Float32Array(few));
    const sum = await ringOf(worldSize);
    const total = new Float64Array(few);
    const times = 32;
    for (let round = 0; round < times; round++) {
      const data = inputs.map((part) => part.slice());
      await sum(data, residuals);
      for (let i = 0; i < few; i++) total[i]! += data[0]![i]!;
    }
    for (let i = 0; i < few; i++) {
      const exact = times * inputs.reduce((all, part) => all + part[i]!, 0);
      const kept = residuals.reduce((all, part) => all + part[i]!, 0);
      // All that was given is in the sums or still kept.
      expect(Math.abs(total[i]! + kept - exact)).toBeLessThan(1e-4);
      expect(Math.abs(kept)).toBeLessThan(worldSize * 8 * 2 ** -11);
    }
  });
});
