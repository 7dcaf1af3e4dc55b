import { PipelineError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import type { Batch } from "../data/batch.ts";
import type { Executor } from "../graph/executor.ts";
import { countFlops } from "../graph/flops.ts";
import type { Graph } from "../graph/graph.ts";
import type { Network } from "../models/model.ts";
import type { LookaheadOptions } from "../optim/lookahead.ts";
import { sameShape } from "../tensor/shape.ts";
import { floatData, item, type Named, scalar, type Tensor } from "../tensor/tensor.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { type CompiledStep, compileStep } from "./compiled-step.ts";
import { isOuter, OuterOptimizer } from "./local-steps.ts";
import type { Together } from "./peers.ts";
import { stepFeeds } from "./step-feeds.ts";
import { accumulatedPrefix, initialState, type StepOptions, type WeightAverage } from "./train-step.ts";

export interface StepResult {
  readonly loss: number;
  /** Number of images. */
  readonly correct: number;
  readonly gradientNorm: number;
  /** Whether a process was asked to stop before this step: the same answer in all. */
  readonly stopping: boolean;
}

/** The compiled training step with its state. */
export interface StepRunner extends AsyncDisposable {
  /** Forward and backward, from the convolutions and matrix products of the graph. */
  readonly flopsPerImage: number;
  /** Compiles anew where parameters stop or begin to be trained with this epoch, counted from 0. */
  enterEpoch(epoch: number): Promise<void>;
  /**
   * With several processes: `batch` is this process's part, the result is that of all. Between the exchanges of local steps
   * it is that of this process, its count taken for all; a loss that is no number is told with the next exchange.
   */
  run(batch: Batch, globalStep: number): Promise<StepResult>;
  readState(): Named<Tensor>;
  /** Parameters and buffers to evaluate: averaged ones where there are averages. */
  evaluationWeights(): Named<Tensor>;
}

export interface RunnerOptions {
  /** The training step; its averages follow from `emaDecay` and `lookahead`, its frozen parameters from the model. */
  readonly step: Omit<StepOptions, "averages" | "frozen">;
  readonly executor: Executor;
  /** The network as it is trained in an epoch, counted from 0: default that of the step. Another object is compiled anew. */
  readonly networkIn?: ((epoch: number) => Network) | undefined;
  /** For dropout. */
  readonly rng: Rng;
  readonly initialWeights: Named<Tensor>;
  readonly emaDecay?: number | undefined;
  readonly lookahead?: Omit<LookaheadOptions, "totalSteps" | "stepsPerEpoch"> | undefined;
  /** Goes on from here: ends in the same bits as a run that was never interrupted. */
  readonly resume?: Checkpoint | undefined;
  /** The processes that train together; each takes its equal part of `step.batchSize`. */
  readonly together?: Together | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Extent {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

export async function startStepRunner(options: RunnerOptions, extent: Extent): Promise<StepRunner> {
  const { executor, rng, emaDecay, resume, together, signal } = options;
  const { model, optimizer } = options.step;
  const averages: WeightAverage[] = [
    ...(options.lookahead === undefined ? [] : (["lookahead"] as const)),
    ...(emaDecay === undefined ? [] : (["ema"] as const)),
  ];
  const lookahead = options.lookahead === undefined ? undefined : { ...options.lookahead, ...extent };
  const step: StepOptions = { ...options.step, averages, ...shareOf(options) };
  const localSteps = together?.localSteps;
  const compile = (of: StepOptions): Promise<CompiledStep> =>
    compileStep(of, { executor, together: localSteps === undefined ? together : undefined });
  const { freezeAfter } = model;
  const trainedIn = (epoch: number) => ({
    model: options.networkIn?.(epoch) ?? model,
    frozen: freezeAfter !== undefined && epoch >= freezeAfter.epochs ? freezeAfter.parameters : [],
  });

  let trained = trainedIn(resume?.progress.epoch ?? 0);
  let compiled: CompiledStep | undefined = await compile({ ...step, ...trained });
  const { accumulation = 1 } = step;
  const flopsPerImage = countFlops(compiled.graph).total / step.batchSize;
  const saved = Object.entries(resume?.state ?? initialState(step, options.initialWeights));
  const state = Object.fromEntries(saved.filter(([name]) => !isOuter(name)));
  const open = (): CompiledStep => {
    if (compiled === undefined) throw new PipelineError("INVALID_ARGUMENT", "the training step is closed");
    return compiled;
  };
  const close = async (): Promise<void> => {
    const closing = compiled;
    compiled = undefined;
    await closing?.[Symbol.asyncDispose]();
  };
  const evaluated = [...model.module.parameters, ...model.module.buffers].map(({ name }) => name);
  const prefix = averages.includes("ema") ? "ema/" : averages.includes("lookahead") ? "lookahead/" : "";
  try {
    checkState(open().graph, state);
    open().writeState(state);
  } catch (error) {
    await close();
    throw error;
  }

  const outer =
    together === undefined || localSteps === undefined
      ? undefined
      : new OuterOptimizer(
          {
            ...{ ...localSteps, peers: together.peers, compression: together.compression },
            ...{ model, state, averaged: Object.keys(state).filter((name) => /^(ema|lookahead)\//.test(name)) },
          },
          Object.fromEntries(saved.filter(([name]) => isOuter(name))),
        );
  /** Losses of this process since the last exchange. */
  const own = { sum: 0, count: 0 };
  const alone = async (result: StepResult, globalStep: number): Promise<StepResult> => {
    own.sum += result.loss;
    own.count += 1;
    const done = globalStep + 1;
    const isDue = done % localSteps!.every === 0 || done % extent.stepsPerEpoch === 0 || done === extent.totalSteps;
    if (isDue) {
      const figures = { loss: own.sum / own.count, isAskedToStop: signal?.aborted ?? false };
      const { loss, isAskedToStop } = await outer!.exchange(open(), figures);
      Object.assign(own, { sum: 0, count: 0 });
      return { ...result, loss, gradientNorm: finite(result.gradientNorm), stopping: isAskedToStop };
    }
    // All processes have to come to the same end: what is no number goes into the mean, which all are told.
    return { ...result, loss: finite(result.loss), gradientNorm: finite(result.gradientNorm) };
  };

  return {
    flopsPerImage,
    async enterEpoch(epoch) {
      const next = trainedIn(epoch);
      if (next.model === trained.model && next.frozen.length === trained.frozen.length) return;
      const kept = open().readState();
      // One at a time: a compiled step holds buffers for all activations.
      await close();
      trained = next;
      compiled = await compile({ ...step, ...trained });
      compiled.writeState(kept);
    },
    async run(batch, globalStep) {
      const first = (together?.peers.rank ?? 0) * accumulation;
      const { loss, correct, gradientNorm, stopping } = await open().run(batch, (graph, part, index) => {
        const common = { graph, optimizer, rng, emaDecay, lookahead };
        const feeds = stepFeeds(part, globalStep, { ...common, part: first + index });
        if (graph.inputs.stopping !== undefined) feeds.stopping = scalar(signal?.aborted ? 1 : 0);
        return feeds;
      });
      const result = {
        loss: item(loss!),
        correct: item(correct!) * (outer === undefined ? 1 : together!.peers.worldSize),
        gradientNorm: item(gradientNorm!),
        stopping: stopping !== undefined && item(stopping) > 0,
      };
      return outer === undefined ? result : alone(result, globalStep);
    },
    readState: () => ({ ...open().readState(), ...outer?.readState() }),
    evaluationWeights() {
      const values = open().readState(evaluated.map((name) => `${prefix}${name}`));
      return Object.fromEntries(evaluated.map((name) => [name, values[`${prefix}${name}`]!]));
    },
    [Symbol.asyncDispose]: close,
  };
}

/** What one of several processes does of a step. */
function shareOf({ step, together }: RunnerOptions): Partial<StepOptions> {
  const processes = together?.peers.worldSize ?? 1;
  const batchSize = step.batchSize / processes / (step.accumulation ?? 1);
  if (together === undefined || together.localSteps !== undefined) return { batchSize };
  const { normStatistics = "batch" } = step;
  return {
    batchSize,
    processes,
    normStatistics: together.batchNorm === "all" && normStatistics === "batch" ? { processes } : normStatistics,
  };
}

/** Nothing in the place of what is no number. */
function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

/** @throws STATE_MISMATCH unless `state` has exactly the variables of the graph */
function checkState(graph: Graph, state: Named<Tensor>): void {
  for (const [name, { current }] of Object.entries(graph.variables)) {
    if (name.startsWith(accumulatedPrefix)) continue;
    const value = state[name];
    if (value === undefined || value.dtype !== current.dtype || !sameShape(value.shape, current.shape)) {
      const got = value === undefined ? "nothing" : `${value.dtype}[${value.shape}]`;
      throw new PipelineError("STATE_MISMATCH", `${name} must be ${current.dtype}[${current.shape}], got ${got}`, {
        remedy: "resume with the configuration that the checkpoint was made with",
      });
    }
  }
  const extra = Object.keys(state).find((name) => graph.variables[name] === undefined);
  if (extra !== undefined) {
    throw new PipelineError("STATE_MISMATCH", `the training step has no variable ${extra}`, {
      remedy: "resume with the configuration that the checkpoint was made with",
    });
  }
}

/** Whether all elements are numbers. */
export function allFinite(tensors: Named<Tensor>): boolean {
  return Object.values(tensors).every((value) => floatData(value).every(Number.isFinite));
}
