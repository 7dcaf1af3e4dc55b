import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Batcher, type BatchRun } from "./batcher.ts";

const double = async (items: readonly number[]) => items.map((item) => item * 2);

/** A run function that finishes when told to. */
function manual() {
  const batches: { items: readonly number[]; signal: AbortSignal; finish: () => void; fail: (e: Error) => void }[] = [];
  const run = (items: readonly number[], { signal }: BatchRun) =>
    new Promise<readonly number[]>((resolve, reject) => {
      batches.push({ items, signal, finish: () => resolve(items.map((item) => item * 2)), fail: reject });
    });
  return { batches, run };
}

describe("Batcher", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("starts a batch at once when maxBatchSize items wait", async () => {
    const { batches, run } = manual();
    const batcher = new Batcher({ run, maxBatchSize: 3, maxDelayMs: 1000, queueLimit: 10, window: "fixed" });
    const results = Promise.all([1, 2, 3].map((item) => batcher.submit(item)));
    expect(batches.map(({ items }) => items)).toEqual([[1, 2, 3]]);
    batches[0]!.finish();
    expect(await results).toEqual([2, 4, 6]);
  });

  it("starts a smaller batch when the oldest item has waited maxDelayMs", async () => {
    const { batches, run } = manual();
    const batcher = new Batcher({ run, maxBatchSize: 8, maxDelayMs: 10, queueLimit: 10, window: "fixed" });
    const first = batcher.submit(1);
    await vi.advanceTimersByTimeAsync(6);
    const second = batcher.submit(2);
    expect(batches).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(4);
    expect(batches.map(({ items }) => items)).toEqual([[1, 2]]);
    batches[0]!.finish();
    expect(await Promise.all([first, second])).toEqual([2, 4]);
  });

  it("collects while every slot is busy and refuses beyond queueLimit", async () => {
    const { batches, run } = manual();
    const batcher = new Batcher({ run, maxBatchSize: 2, maxDelayMs: 0, queueLimit: 3 });
    const promises = [1, 2, 3, 4].map((item) => batcher.submit(item));
    expect(batcher.waiting).toBe(3);
    await expect(batcher.submit(5)).rejects.toMatchObject({ code: "QUEUE_FULL" });
    batches[0]!.finish();
    await vi.advanceTimersByTimeAsync(0);
    expect(batches.map(({ items }) => items)).toEqual([[1], [2, 3]]);
    batches[1]!.finish();
    await vi.advanceTimersByTimeAsync(0);
    batches[2]!.finish();
    expect(await Promise.all(promises)).toEqual([2, 4, 6, 8]);
  });

  it("drops a waiting item whose signal aborts and runs the others", async () => {
    const { batches, run } = manual();
    const batcher = new Batcher({ run, maxBatchSize: 8, maxDelayMs: 5, queueLimit: 10, window: "fixed" });
    const abort = new AbortController();
    const cancelled = batcher.submit(1, abort.signal);
    const kept = batcher.submit(2);
    abort.abort(new Error("gone"));
    await expect(cancelled).rejects.toThrow("gone");
    await vi.advanceTimersByTimeAsync(5);
    expect(batches[0]!.items).toEqual([2]);
    batches[0]!.finish();
    expect(await kept).toBe(4);
  });

  it("aborts a running batch only when all of its items were cancelled", async () => {
    const { batches, run } = manual();
    const batcher = new Batcher({ run, maxBatchSize: 2, maxDelayMs: 5, queueLimit: 10, window: "fixed" });
    const [a, b] = [new AbortController(), new AbortController()];
    const first = batcher.submit(1, a.signal);
    const second = batcher.submit(2, b.signal);
    a.abort(new Error("a gone"));
    await expect(first).rejects.toThrow("a gone");
    expect(batches[0]!.signal.aborted).toBe(false);
    b.abort(new Error("b gone"));
    await expect(second).rejects.toThrow("b gone");
    expect(batches[0]!.signal.aborted).toBe(true);
  });

  it("refuses an item whose signal is aborted already", async () => {
    const batcher = new Batcher({ run: double, maxBatchSize: 1, maxDelayMs: 0, queueLimit: 1 });
    await expect(batcher.submit(1, AbortSignal.abort(new Error("late")))).rejects.toThrow("late");
  });

  it("rejects every item of a failed batch and goes on", async () => {
    const { batches, run } = manual();
    const batcher = new Batcher({ run, maxBatchSize: 2, maxDelayMs: 0, queueLimit: 10, concurrency: 1 });
    const [first, second, third] = [batcher.submit(1), batcher.submit(2), batcher.submit(3)];
    batches[0]!.fail(new Error("broken"));
    await expect(first).rejects.toThrow("broken");
    await vi.advanceTimersByTimeAsync(0);
    batches[1]!.finish();
    expect(await Promise.all([second, third])).toEqual([4, 6]);
  });

  it("rejects when run gives another number of results", async () => {
    const batcher = new Batcher({ run: async () => [1, 2], maxBatchSize: 1, maxDelayMs: 0, queueLimit: 1 });
    await expect(batcher.submit(1)).rejects.toThrow(/1 items gave 2 results/);
  });

  it("drains on disposal without waiting for maxDelayMs, then refuses", async () => {
    const { batches, run } = manual();
    const batcher = new Batcher({ run, maxBatchSize: 2, maxDelayMs: 60_000, queueLimit: 10, window: "fixed" });
    const promises = [1, 2, 3].map((item) => batcher.submit(item));
    let disposed = false;
    const disposal = batcher[Symbol.asyncDispose]().then(() => {
      disposed = true;
    });
    await expect(batcher.submit(4)).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
    batches[0]!.finish();
    await vi.advanceTimersByTimeAsync(0);
    expect(disposed).toBe(false);
    batches[1]!.finish();
    await disposal;
    expect(await Promise.all(promises)).toEqual([2, 4, 6]);
  });

  describe("with the adaptive window", () => {
    const options = { maxBatchSize: 8, maxDelayMs: 20, queueLimit: 100 };

    it("starts the only item of a quiet time at once", async () => {
      const { batches, run } = manual();
      const batcher = new Batcher({ run, ...options });
      for (let i = 0; i < 5; i++) {
        const result = batcher.submit(i);
        expect(batches).toHaveLength(i + 1);
        batches[i]!.finish();
        expect(await result).toBe(2 * i);
        await vi.advanceTimersByTimeAsync(100);
      }
    });

    it("collects what arrives in quick succession, for no longer than a run takes", async () => {
      const { batches, run } = manual();
      const batcher = new Batcher({ run, ...options });
      void batcher.submit(0);
      await vi.advanceTimersByTimeAsync(6);
      batches[0]!.finish();
      await vi.advanceTimersByTimeAsync(0);
      // Gaps of 2 ms: eight would fill in 16 ms, but a run takes 6.
      for (let i = 1; i <= 30; i++) {
        void batcher.submit(i);
        await vi.advanceTimersByTimeAsync(2);
        for (const batch of batches) batch.finish();
        await vi.advanceTimersByTimeAsync(0);
      }
      const sizes = batches.slice(1).map(({ items }) => items.length);
      expect(Math.max(...sizes)).toBeGreaterThan(1);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(4);
    });

    it("tells each run how long its items have waited, and new items what to expect", async () => {
      const waits: (readonly number[])[] = [];
      const finish: (() => void)[] = [];
      const batcher = new Batcher<number, number>({
        ...options,
        maxBatchSize: 2,
        maxDelayMs: 0,
        run: (items, { queuedMs }) => {
          waits.push(queuedMs);
          return new Promise((resolve) => finish.push(() => resolve(items)));
        },
      });
      expect(batcher.expectedWaitMs).toBe(0);
      const results = [batcher.submit(1)];
      await vi.advanceTimersByTimeAsync(10);
      finish[0]!();
      await vi.advanceTimersByTimeAsync(0);
      results.push(...[2, 3, 4, 5, 6].map((item) => batcher.submit(item)));
      // One runs, four wait in two batches: a third batch starts after 3 runs of 10 ms.
      expect(batcher.expectedWaitMs).toBe(30);
      for (let i = 1; i < 4; i++) {
        await vi.advanceTimersByTimeAsync(10);
        finish[i]!();
        await vi.advanceTimersByTimeAsync(0);
      }
      expect(await Promise.all(results)).toEqual([1, 2, 3, 4, 5, 6]);
      expect(waits).toEqual([[0], [0], [10, 10], [20, 20]]);
    });
  });

  it("refuses sizes that are no positive integers", () => {
    const options = { run: double, maxBatchSize: 1, maxDelayMs: 0, queueLimit: 1 };
    expect(() => new Batcher({ ...options, maxBatchSize: 0 })).toThrow(/maxBatchSize/);
    expect(() => new Batcher({ ...options, queueLimit: 1.5 })).toThrow(/queueLimit/);
    expect(() => new Batcher({ ...options, maxDelayMs: Number.NaN })).toThrow(/maxDelayMs/);
  });

  it("answers every item once and in no larger batch or concurrency than allowed, for any traffic", async () => {
    vi.useRealTimers();
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          maxBatchSize: fc.integer({ min: 1, max: 7 }),
          concurrency: fc.integer({ min: 1, max: 3 }),
          maxDelayMs: fc.constantFrom(0, 1),
          count: fc.integer({ min: 0, max: 40 }),
          cancelEvery: fc.integer({ min: 2, max: 9 }),
        }),
        async ({ count, cancelEvery, ...options }) => {
          let running = 0;
          const seen: number[] = [];
          const batcher = new Batcher<number, number>({
            ...options,
            queueLimit: 100,
            run: async (items) => {
              running++;
              expect(running).toBeLessThanOrEqual(options.concurrency);
              expect(items.length).toBeLessThanOrEqual(options.maxBatchSize);
              seen.push(...items);
              await new Promise(setImmediate);
              running--;
              return items.map((item) => item * 2);
            },
          });
          const results = await Promise.allSettled(
            Array.from({ length: count }, (_, item) => {
              const abort = new AbortController();
              const promise = batcher.submit(item, abort.signal);
              if (item % cancelEvery === 0) abort.abort(new Error("cancelled"));
              return promise;
            }),
          );
          results.forEach((result, item) => {
            if (item % cancelEvery === 0) expect(result.status).toBe("rejected");
            else expect(result).toEqual({ status: "fulfilled", value: item * 2 });
          });
          expect(new Set(seen).size).toBe(seen.length);
          await batcher[Symbol.asyncDispose]();
          expect([batcher.waiting, batcher.running]).toEqual([0, 0]);
        },
      ),
      { numRuns: 60 },
    );
  });
});
