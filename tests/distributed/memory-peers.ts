import type { Peers } from "../../src/training/peers.ts";

/** Processes that are all in this one: each call waits until all have made it. */
export function memoryPeers(worldSize: number): readonly Peers[] {
  interface Meeting {
    readonly data: (Float32Array | Uint8Array)[];
    readonly done: (() => void)[];
  }
  const meetings: Meeting[] = [];
  const counts = new Array<number>(worldSize).fill(0);
  const meet = async (rank: number, data: Float32Array | Uint8Array, finish: (all: Meeting["data"]) => void) => {
    const index = counts[rank]!++;
    meetings[index] ??= { data: [], done: [] };
    const meeting = meetings[index];
    meeting.data[rank] = data;
    await new Promise<void>((resolve) => {
      meeting.done.push(resolve);
      if (meeting.done.length < worldSize) return;
      finish(meeting.data);
      for (const done of meeting.done) done();
    });
    return meeting.data;
  };
  return Array.from({ length: worldSize }, (_, rank) => ({
    rank,
    worldSize,
    allocate: (length) => new Float32Array(length),
    async allReduce(data) {
      await meet(rank, data, (all) => {
        const sum = Float32Array.from(data, (_, i) => all.reduce((total, part) => total + part[i]!, 0));
        for (const part of all) part.set(sum);
      });
    },
    async allGather(data) {
      return (await meet(rank, data, () => undefined)) as Uint8Array[];
    },
    async broadcast(data, root) {
      return (await meet(rank, data, () => undefined))[root] as Uint8Array;
    },
  }));
}
