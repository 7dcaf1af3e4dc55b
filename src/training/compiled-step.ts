import { type Batch, divideBatch } from "../data/batch.ts";
import type { Executable, Executor } from "../graph/executor.ts";
import type { Graph } from "../graph/graph.ts";
import { type Named, type Tensor, zeros } from "../tensor/tensor.ts";
import type { Together } from "./peers.ts";
import { compileSections } from "./sectioned-step.ts";
import { accumulatedPrefix, buildAddStep, buildTrainStep, type StepOptions } from "./train-step.ts";

/** A training step that can run: one graph, or one for each part of the batch but the last and one for the last. */
export interface CompiledStep extends AsyncDisposable {
  /** Of the last part, which has all variables but the sums that are carried to it. */
  readonly graph: Graph;
  /**
   * @param feedsOf what a graph is fed with for a part of the batch, counted from 0
   * @returns the outputs of the last part, which are those of the whole step
   */
  run(batch: Batch, feedsOf: (graph: Graph, part: Batch, index: number) => Named<Tensor>): Promise<Named<Tensor>>;
  writeState(state: Named<Tensor>): void;
  readState(names?: readonly string[]): Record<string, Tensor>;
}

export interface CompileOptions {
  readonly executor: Executor;
  /** Processes whose sums are made in each step; default none. */
  readonly together?: Together | undefined;
}

export async function compileStep(step: StepOptions, { executor, together }: CompileOptions): Promise<CompiledStep> {
  const { accumulation = 1 } = step;
  const graph = buildTrainStep(step);
  const addGraph = accumulation === 1 ? undefined : buildAddStep(step);
  const add = addGraph === undefined ? undefined : await executor.compile(addGraph);
  let last: Executable;
  try {
    last =
      together === undefined
        ? await executor.compile(graph, add)
        : await compileSections(graph, { executor, ...together, sharing: add });
    last.writeState(nothingCarried(graph));
  } catch (error) {
    await add?.[Symbol.asyncDispose]();
    throw error;
  }
  const names = Object.keys(graph.variables).filter((name) => !name.startsWith(accumulatedPrefix));
  return {
    graph,
    async run(batch, feedsOf) {
      const parts = divideBatch(batch, accumulation);
      for (const [index, part] of parts.slice(0, -1).entries()) await add!.run(feedsOf(addGraph!, part, index));
      return last.run(feedsOf(graph, parts.at(-1)!, parts.length - 1));
    },
    writeState: (state) => last.writeState(state),
    readState: (wanted = names) => last.readState(wanted),
    async [Symbol.asyncDispose]() {
      await last[Symbol.asyncDispose]();
      await add?.[Symbol.asyncDispose]();
    },
  };
}

function nothingCarried(graph: Graph): Named<Tensor> {
  return Object.fromEntries(
    Object.entries(graph.variables)
      .filter(([name]) => name.startsWith(accumulatedPrefix))
      .map(([name, { current }]) => [name, zeros("float32", current.shape)]),
  );
}
