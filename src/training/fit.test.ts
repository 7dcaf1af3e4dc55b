import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createReferenceExecutor } from "../backends/reference/executor.ts";
import { createRng } from "../base/rng.ts";
import type { Graph } from "../graph/graph.ts";
import { airbench } from "../models/airbench.ts";
import { initialWeights, type Model } from "../models/model.ts";
import { resnet9 } from "../models/resnet9.ts";
import { adamw } from "../optim/adamw.ts";
import { oneCycleSchedule } from "../optim/schedules.ts";
import { sgd } from "../optim/sgd.ts";
import { floats, type Named, type Tensor, tensor } from "../tensor/tensor.ts";
import { type BatchSource, limitSteps, overfitOneBatch } from "./batches.ts";
import { loadCheckpoint } from "./checkpoint.ts";
import type { TrainEvent } from "./events.ts";
import { type FitOptions, fit, type TrainResult } from "./fit.ts";
import { decayGroups } from "./parameter-groups.ts";
import { allFinite } from "./step-runner.ts";
import type { ModelFormat } from "./validation.ts";

const [batchSize, size, classes] = [4, 17, 3];
const executor = createReferenceExecutor();

/** Images whose colour is their class, with noise; batches depend on epoch and step alone. */
function imagesOf(count: number, seed: string) {
  const rng = createRng(seed);
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes);
  const plane = size * size;
  const images = Uint8Array.from({ length: count * 3 * plane }, (_, i) => {
    const channel = Math.floor(i / plane) % 3;
    return (channel === labels[Math.floor(i / (3 * plane))] ? 170 : 80) + rng.int(60);
  });
  return { count, images, labels, height: size, width: size };
}

function source(stepsPerEpoch: number): BatchSource {
  return {
    stepsPerEpoch,
    async *epoch(epoch, startStep = 0) {
      for (let step = startStep; step < stepsPerEpoch; step++) {
        const { images, labels } = imagesOf(batchSize, `batch/${epoch}/${step}`);
        yield {
          step,
          images: tensor("uint8", [batchSize, 3, size, size], images),
          labels: tensor("int32", [batchSize], labels),
          theta: floats([batchSize, 2, 3], Array.from({ length: batchSize }, () => [1, 0, 0.125, 0, 1, 0]).flat()),
        };
      }
    },
  };
}

/** Exported "files" that the reference interpreter runs. */
function referenceFormat(): ModelFormat {
  const exported: { graph: Graph; weights: Named<Tensor> }[] = [];
  return {
    exportModel(graph, weights) {
      exported.push({ graph, weights });
      return Uint8Array.of(exported.length - 1);
    },
    async loadModel(bytes) {
      const { graph, weights } = exported[bytes[0]!]!;
      const executable = await executor.compile(graph);
      executable.writeState(weights);
      return {
        inputs: [],
        outputs: [],
        run: (feeds) => executable.run(feeds),
        [Symbol.asyncDispose]: () => executable[Symbol.asyncDispose](),
      };
    },
  };
}

const normalise = ({ shape, data }: Tensor<"uint8">): Tensor<"float32"> =>
  floats(
    shape,
    Float32Array.from(data, (x) => (x / 255 - 0.5) / 0.25),
  );

interface Setup {
  readonly model?: Model;
  readonly learningRate?: number;
  readonly stepsPerEpoch?: number;
  readonly optimizer?: "sgd" | "adamw";
}

function setup({
  model = tinyAirbench(),
  learningRate = 0.05,
  stepsPerEpoch = 3,
  optimizer = "sgd",
}: Setup = {}): FitOptions {
  const schedule = oneCycleSchedule({ totalSteps: 4 * stepsPerEpoch });
  const groups = decayGroups(model, { learningRate, weightDecay: 1e-3, schedule });
  return {
    step: {
      model,
      optimizer: optimizer === "sgd" ? sgd({ groups }) : adamw({ groups }),
      batchSize,
      mean: [0.5, 0.5, 0.5],
      std: [0.25, 0.25, 0.25],
      labelSmoothing: 0.1,
      augmentation: { mode: "nearest", border: "reflect" },
    },
    executor,
    batches: source(stepsPerEpoch),
    epochs: 4,
    rng: createRng(11).split("dropout"),
    initialWeights: initialWeights(
      model,
      createRng(11),
      normalise(tensor("uint8", [6, 3, size, size], imagesOf(6, "w").images)),
    ),
    validation: {
      format: referenceFormat(),
      split: imagesOf(6, "validation"),
      classes: ["red", "green", "blue"],
      normalise,
      batchSize: 3,
    },
    fingerprint: "test",
    clock: () => 0,
  };
}

function tinyAirbench(): Model {
  return airbench({
    classes,
    height: size,
    width: size,
    widthFactor: 1 / 32,
    dropoutRate: 0.2,
    whiteningBiasEpochs: 2,
  });
}

function plainResnet(): Model {
  return resnet9({ classes, height: size, width: size, widthFactor: 1 / 32 });
}

interface Followed {
  readonly events: TrainEvent[];
  readonly result: TrainResult;
}

async function follow(options: FitOptions, onEvent: (event: TrainEvent) => void = () => {}): Promise<Followed> {
  const events: TrainEvent[] = [];
  const run = fit(options);
  for (;;) {
    const next = await run.next();
    if (next.done) return { events, result: next.value };
    events.push(next.value);
    onEvent(next.value);
  }
}

const typesOf = (events: readonly TrainEvent[]): string => events.map(({ type }) => type[0]).join("");

function expectSameBits(actual: Named<Tensor>, expected: Named<Tensor>): void {
  expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
  for (const [name, { data }] of Object.entries(expected)) {
    expect(Buffer.from(actual[name]!.data.buffer).equals(Buffer.from(data.buffer)), name).toBe(true);
  }
}

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
    for (const batch of batches) expect(batch.images.data).toEqual(batches[0]!.images.data);
  });
});
