import { describe, expect, it } from "vitest";
import { chunks } from "./mpi/mpi-group.ts";
import { piecesOf } from "./range.ts";

describe("piecesOf", () => {
  it("covers a range without gap or overlap", () => {
    expect([...piecesOf({ start: 3, end: 10 }, 3)]).toEqual([
      { start: 3, end: 6 },
      { start: 6, end: 9 },
      { start: 9, end: 10 },
    ]);
    expect([...piecesOf({ start: 5, end: 5 }, 3)]).toEqual([]);
  });
});

describe("chunks of MPI's calls", () => {
  it("stay below 2^31 elements for more than that", () => {
    const length = 2 ** 31 + 1;
    const all = [...chunks(length)];
    expect(all[0]!.start).toBe(0);
    expect(all.at(-1)!.end).toBe(length);
    for (const [i, { start, end }] of all.entries()) {
      expect(end - start).toBeGreaterThan(0);
      expect(end - start).toBeLessThan(2 ** 31);
      if (i > 0) expect(start).toBe(all[i - 1]!.end);
    }
  });
});
