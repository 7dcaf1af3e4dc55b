import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  classes,
  expectSameBits,
  type Followed,
  follow,
  plainResnet,
  setup,
  size,
  source,
  typesOf,
} from "../../tests/training/tiny-run.ts";
import type { BatchSource } from "../data/batch.ts";
import { resnet9 } from "../models/resnet9.ts";
import { sgd } from "../optim/sgd.ts";
import { loadCheckpoint } from "./checkpoint.ts";
import type { TrainEvent } from "./events.ts";
import { type FitOptions, fit } from "./fit.ts";
import { decayGroups } from "./parameter-groups.ts";
import { limitSteps, overfitOneBatch } from "./shortened-batches.ts";
import { allFinite } from "./step-runner.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "fit-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe("fit", () => {
  it("learns, tells about it, and ends with the best weights and their metrics", async () => {
    const { events, result } = await follow(setup({ model: plainResnet(), learningRate: 0.2 }));
    expect(typesOf(events)).toBe(`s${"ssse".repeat(4)}s`);
    expect(result.reason).toBe("completed");
    expect([result.epochs, result.globalStep]).toEqual([4, 12]);
    const epochs = events.filter((event) => event.type === "epoch");
    const best = Math.max(...epochs.map(({ validation }) => validation!.accuracy));
    expect(result.weightsFrom).toEqual({
      kind: "best",
      epoch: epochs.find(({ validation }) => validation!.accuracy === best)!.epoch,
    });
    expect(result.validation!.accuracy).toBe(best);
    expect(best).toBeGreaterThan(0.8);
    expect(epochs.at(-1)!.trainLoss).toBeLessThan(epochs[0]!.trainLoss);
    expect(result.trainingFlops).toBeGreaterThan(0);
  });

  it("gives the same bits for the same seed", async () => {
    const [a, b] = [await follow(setup()), await follow(setup())];
    expectSameBits(a.result.state, b.result.state);
    expect(a.events).toEqual(b.events);
  });

  it("trains the whitening bias only in its epochs", async () => {
    const biases: Float32Array[] = [];
    for (const epochs of [1, 2, 4]) {
      const { result } = await follow({ ...setup(), epochs });
      biases.push(result.state["whiten.bias"]!.data as Float32Array);
    }
    expect(biases[1]).not.toEqual(biases[0]);
    expect(biases[2]).toEqual(biases[1]);
  });

  // 4 epochs of 3 steps; a parameter is frozen after the second.
  describe.each([
    ["SGD, EMA, Lookahead", "sgd", { emaDecay: 0.9, lookahead: { startEpoch: 1, everySteps: 2 } }, [1, 3, 7]],
    ["AdamW", "adamw", {}, [6, 11]],
  ] as const)("resumed with %s", (_name, optimizer, averages, stops) => {
    const options = (): FitOptions => ({ ...setup({ optimizer }), ...averages });
    let whole: Followed;
    beforeAll(async () => {
      whole = await follow(options());
    });

    it.each(stops)("after %i steps ends in the same bits as an uninterrupted run", async (stopAt) => {
      const abort = new AbortController();
      const first = await follow({ ...options(), checkpoint: { directory }, signal: abort.signal }, (event) => {
        if (event.type === "step" && event.globalStep === stopAt) abort.abort();
      });
      expect(first.result.reason).toBe("aborted");
      expect(first.result.globalStep).toBe(stopAt);
      const { checkpoint } = await loadCheckpoint(directory);
      const second = await follow({ ...options(), resume: checkpoint, checkpoint: { directory } });
      expect(second.events[0]).toMatchObject({ type: "start", resumedFromStep: stopAt });
      expectSameBits(second.result.state, whole.result.state);
      expectSameBits(second.result.weights, whole.result.weights);
      expect(second.result.validation).toEqual(whole.result.validation);
      expect(second.result.weightsFrom).toEqual(whole.result.weightsFrom);
      const tail = (events: readonly TrainEvent[]) =>
        events.filter(({ type }) => type !== "start" && type !== "checkpoint");
      const all = [...tail(first.events).filter(({ type }) => type !== "stop"), ...tail(second.events)];
      expect(all).toEqual(tail(whole.events));
    });
  });

  it("resumes from a checkpoint made every few steps after a sudden death", async () => {
    const whole = await follow(setup());
    const options = { ...setup(), checkpoint: { directory, everySteps: 2 } };
    const run = fit(options);
    for await (const event of run) {
      // Left in the middle, without a word: only what is on disk remains.
      if (event.type === "step" && event.globalStep === 9) break;
    }
    const { checkpoint } = await loadCheckpoint(directory);
    expect(checkpoint.progress.globalStep).toBe(8);
    const { result } = await follow({ ...setup(), resume: checkpoint });
    expectSameBits(result.state, whole.result.state);
  });

  it("ends at once when resumed after its end, with the same weights", async () => {
    const whole = await follow({ ...setup(), checkpoint: { directory } });
    const { checkpoint } = await loadCheckpoint(directory);
    const again = await follow({ ...setup(), resume: checkpoint });
    expect(typesOf(again.events)).toBe("ss");
    expectSameBits(again.result.weights, whole.result.weights);
  });

  it.each([
    ["best", "best"],
    ["last", "last"],
  ] as const)("stops on a loss that is no number and ends with the %s good weights", async (restore, kind) => {
    const options = setup();
    const schedule = (step: number): number => (step < 4 ? 1 : 1e30);
    const groups = decayGroups(options.step.model, { learningRate: 0.05, weightDecay: 0, schedule });
    const exploding = { ...options, restore, step: { ...options.step, optimizer: sgd({ groups }) } };
    const { events, result } = await follow({ ...exploding, checkpoint: { directory } });
    expect(result.reason).toBe("not-a-number");
    expect(events.at(-1)).toMatchObject({ type: "stop", reason: "not-a-number", epoch: 1 });
    expect(result.weightsFrom).toEqual({ kind, epoch: 1 });
    expect(allFinite(result.weights)).toBe(true);
    // What is on disk is from before the explosion.
    expect(allFinite((await loadCheckpoint(directory)).checkpoint.state)).toBe(true);
  });

  it("ends with the first weights when nothing good came", async () => {
    const options = setup({ learningRate: 1e30 });
    const { result } = await follow(options);
    expect([result.reason, result.weightsFrom]).toEqual(["not-a-number", { kind: "initial", epoch: 0 }]);
    expectSameBits(result.weights, options.initialWeights);
    expect(result.validation).toBeUndefined();
  });

  it("stops early when the validation stops improving", async () => {
    const { result, events } = await follow({
      ...setup({ learningRate: 0 }),
      epochs: 10,
      earlyStopping: { patience: 2 },
      monitor: "accuracy",
      restore: "best",
    });
    expect(result.reason).toBe("early-stopping");
    expect(events.filter(({ type }) => type === "epoch").length).toBeGreaterThanOrEqual(3);
    expect(result.epochs).toBeLessThan(10);
  });

  it("trains a fraction of the last epoch", async () => {
    const { result, events } = await follow({ ...setup(), epochs: 1.5 });
    expect([result.epochs, result.globalStep]).toEqual([2, 5]);
    expect(events.filter(({ type }) => type === "epoch")).toHaveLength(2);
  });

  it("works without validation and then ends with the last weights", async () => {
    const { validation: _, ...rest } = setup();
    const { result } = await follow({ ...rest, epochs: 1 });
    expect(result.weightsFrom).toEqual({ kind: "last", epoch: 1 });
    expect(result.validation).toBeUndefined();
    expectSameBits(
      result.weights,
      Object.fromEntries(Object.keys(result.weights).map((name) => [name, result.state[name]!])),
    );
  });

  it("refuses a checkpoint of another configuration", async () => {
    await follow({ ...setup(), epochs: 1, checkpoint: { directory } });
    const { checkpoint } = await loadCheckpoint(directory);
    await expect(follow({ ...setup(), resume: checkpoint, fingerprint: "other" })).rejects.toThrow(
      /another configuration/,
    );
    const other = setup({ model: resnet9({ classes, height: size, width: size, widthFactor: 1 / 32 }) });
    await expect(follow({ ...other, resume: checkpoint })).rejects.toMatchObject({ code: "STATE_MISMATCH" });
  });

  it("refuses impossible lengths and incomplete batches", async () => {
    await expect(follow({ ...setup(), epochs: 0 })).rejects.toThrow(/0 epochs/);
    const options = setup();
    await expect(follow({ ...options, step: { ...options.step, batchSize: 5 } })).rejects.toThrow(/5 images/);
  });
});

describe("batch sources", () => {
  const stepsOf = async (batches: BatchSource, epoch: number, start?: number) => {
    const result = [];
    for await (const batch of batches.epoch(epoch, start)) result.push(batch);
    return result;
  };

  it("limitSteps ends epochs early", async () => {
    const limited = limitSteps(source(5), 2);
    expect(limited.stepsPerEpoch).toBe(2);
    expect((await stepsOf(limited, 1)).map(({ step }) => step)).toEqual([0, 1]);
    expect((await stepsOf(limited, 1, 1)).map(({ step }) => step)).toEqual([1]);
    expect(await stepsOf(limited, 1, 2)).toEqual([]);
  });

  it("overfitOneBatch repeats the first batch in every epoch", async () => {
    const repeated = overfitOneBatch(source(5), 3);
    const batches = [...(await stepsOf(repeated, 0)), ...(await stepsOf(repeated, 4, 2))];
    expect(batches.map(({ step }) => step)).toEqual([0, 1, 2, 2]);
    for (const batch of batches) expect(batch.images).toEqual(batches[0]!.images);
  });
});
