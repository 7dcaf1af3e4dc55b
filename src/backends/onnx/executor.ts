import { availableParallelism } from "node:os";
import * as ort from "onnxruntime-node";
import { PipelineError } from "../../base/errors.ts";
import type { Executable, Executor } from "../../graph/executor.ts";
import type { Graph } from "../../graph/graph.ts";
import type { Value } from "../../graph/value.ts";
import { verifyGraph } from "../../graph/verify.ts";
import { sameShape } from "../../tensor/shape.ts";
import { floatData, type Named, type Tensor } from "../../tensor/tensor.ts";
import { chooseDevice, type Device, type DeviceRequest } from "./devices.ts";
import { type Layout, packFilter, physicalShape, unpackFilter } from "./layout.ts";
import { loweringRules } from "./lower/rules.ts";
import { Lowering } from "./lowering.ts";
import { ModelWriter } from "./model-writer.ts";
import { fromOrt, toOrt } from "./ort-tensor.ts";
import { blockSize } from "./probe.ts";

export interface OnnxExecutorOptions {
  readonly device?: DeviceRequest;
  /** Threads inside one operator; 0, the default, takes all cores. */
  readonly threads?: number;
  /** "blocked" insists on onnxruntime's blocked convolution kernels, "plain" avoids them. */
  readonly kernels?: "auto" | "blocked" | "plain";
  /** Folder for an operator profile of every run (Chrome trace format). */
  readonly profilePrefix?: string;
}

/**
 * Runs graphs with onnxruntime: one graph becomes one model and each run one call.
 * @throws DEVICE_UNAVAILABLE when the device or the blocked kernels are asked for and missing
 */
export async function createOnnxExecutor(options: OnnxExecutorOptions = {}): Promise<Executor> {
  const { threads = 0, kernels = "auto" } = options;
  const device = await chooseDevice(options.device ?? "cpu");
  const workers = threads > 0 ? threads : availableParallelism();
  const block = device === "cpu" && kernels !== "plain" ? await blockSize() : 0;
  if (kernels === "blocked" && block === 0) {
    throw new PipelineError("DEVICE_UNAVAILABLE", `this ${device} has no blocked convolution kernels`, {
      remedy: 'use kernels "auto", which falls back to plain operators',
    });
  }
  const how = block > 0 ? `blocked kernels of ${block}` : "plain kernels";
  return {
    device: device === "cpu" ? `cpu (${workers} threads, ${how})` : device,
    mixedPrecision: device !== "cpu",
    compile: (graph) => compile(graph, { device, threads: workers, block, profilePrefix: options.profilePrefix }),
  };
}

interface CompileOptions {
  readonly device: Device;
  readonly threads: number;
  readonly block: number;
  readonly profilePrefix: string | undefined;
}

/** Names of a variable's value before and after a run in the model. */
const nextName = (name: string): string => `next/${name}`;
const outputName = (name: string): string => `out/${name}`;

async function compile(graph: Graph, { device, threads, block, profilePrefix }: CompileOptions): Promise<Executable> {
  verifyGraph(graph);
  const writer = new ModelWriter(graph.name);
  const lowering = new Lowering(graph, { writer, rules: loweringRules, block });
  const slots = new Map<string, Slot>();
  const fed = new Map<string, readonly number[]>();
  const reached = new Set<Value>(graph.values);
  const declare = (name: string, value: Value): Layout => {
    const layout = lowering.layoutOf(value);
    const shape = physicalShape(layout, value.shape, block);
    if (reached.has(value)) writer.input(name, value.dtype, shape);
    lowering.define(value, { name, layout });
    fed.set(name, shape);
    return layout;
  };
  for (const [name, value] of Object.entries(graph.inputs)) declare(name, value);
  for (const [name, { current }] of Object.entries(graph.variables)) {
    const layout = declare(name, current);
    slots.set(name, { value: current, layout, shape: fed.get(name)! });
  }
  lowering.run();
  for (const [name, value] of Object.entries(graph.outputs)) {
    writer.alias(lowering.plain(value), outputName(name));
    writer.output(outputName(name), value.dtype, value.shape);
  }
  for (const [name, { current, next }] of Object.entries(graph.variables)) {
    if (next === current) continue;
    const { layout, shape } = slots.get(name)!;
    const result = layout === "plain" || layout === "blocked" ? lowering.plain(next) : lowering.filter(next, layout);
    writer.alias(layout === "plain" ? result : writer.reshape(result, shape), nextName(name));
    writer.output(nextName(name), next.dtype, shape);
  }
  const session = await ort.InferenceSession.create(writer.finish(), {
    executionProviders: [device],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    // A pattern of all buffers costs memory and saves no time when every run has the same shapes.
    enableMemPattern: false,
    logSeverityLevel: 3,
    ...(profilePrefix === undefined ? {} : { enableProfiling: true, profileFilePrefix: profilePrefix }),
  });
  return new OnnxExecutable(graph, session, slots, block);
}

/** Where a variable lives. */
interface Slot {
  readonly value: Value;
  readonly layout: Layout;
  readonly shape: readonly number[];
}

class OnnxExecutable implements Executable {
  readonly #graph: Graph;
  readonly #session: ort.InferenceSession;
  readonly #slots: ReadonlyMap<string, Slot>;
  readonly #block: number;
  readonly #state = new Map<string, ort.Tensor>();
  /** Memory of the state before last, to be written by the next run: no fresh pages in the steady state. */
  readonly #spare = new Map<string, ort.Tensor>();
  readonly #needed: ReadonlySet<string>;

  constructor(graph: Graph, session: ort.InferenceSession, slots: ReadonlyMap<string, Slot>, block: number) {
    this.#graph = graph;
    this.#session = session;
    this.#slots = slots;
    this.#block = block;
    this.#needed = new Set(session.inputNames);
  }

  async run(feeds: Named<Tensor>): Promise<Named<Tensor>> {
    const bound: Record<string, ort.Tensor> = {};
    for (const [name, input] of Object.entries(this.#graph.inputs)) {
      if (this.#needed.has(name)) bound[name] = toOrt(this.#checked(name, input, feeds[name]));
    }
    for (const [name, { shape }] of this.#slots) {
      const current = this.#state.get(name);
      if (current === undefined) {
        throw new PipelineError(
          "STATE_MISMATCH",
          `graph ${this.#graph.name}: variable ${name} [${shape}] was never written`,
        );
      }
      if (this.#needed.has(name)) bound[name] = current;
    }
    const fetches: Record<string, ort.Tensor | null> = {};
    for (const name of this.#session.outputNames) fetches[name] = this.#spare.get(name) ?? null;
    const results = await this.#session.run(bound, fetches);
    for (const name of this.#slots.keys()) {
      const next = results[nextName(name)];
      if (next === undefined) continue;
      this.#spare.set(nextName(name), this.#state.get(name)!);
      this.#state.set(name, next);
    }
    return Object.fromEntries(
      Object.keys(this.#graph.outputs).map((name) => [name, fromOrt(results[outputName(name)]!)]),
    );
  }

  writeState(values: Named<Tensor>): void {
    for (const [name, value] of Object.entries(values)) {
      const slot = this.#slots.get(name);
      if (slot === undefined) {
        throw new PipelineError("STATE_MISMATCH", `graph ${this.#graph.name} has no variable ${name}`);
      }
      const { layout, shape } = slot;
      const checked = this.#checked(name, slot.value, value);
      const data =
        layout === "plain" || layout === "blocked"
          ? checked.data.slice()
          : packFilter(layout, value.shape, floatData(checked), this.#block);
      this.#state.set(name, toOrt({ dtype: value.dtype, shape, data }));
      this.#spare.delete(nextName(name));
    }
  }

  readState(names: readonly string[] = [...this.#slots.keys()]): Record<string, Tensor> {
    return Object.fromEntries(
      names.map((name) => {
        const slot = this.#slots.get(name);
        const held = this.#state.get(name);
        if (slot === undefined || held === undefined) {
          throw new PipelineError("STATE_MISMATCH", `graph ${this.#graph.name} holds no variable ${name}`);
        }
        const tensor = fromOrt(held);
        const { layout, value } = slot;
        const data =
          layout === "plain" || layout === "blocked"
            ? tensor.data.slice()
            : unpackFilter(layout, value.shape, floatData(tensor), this.#block);
        return [name, { dtype: value.dtype, shape: value.shape, data }];
      }),
    );
  }

  #checked(name: string, expected: Value, value: Tensor | undefined): Tensor {
    if (value === undefined) {
      throw new PipelineError("INVALID_ARGUMENT", `graph ${this.#graph.name}: input ${name} is not fed`);
    }
    if (value.dtype !== expected.dtype || !sameShape(value.shape, expected.shape)) {
      throw new PipelineError(
        "STATE_MISMATCH",
        `graph ${this.#graph.name}: ${name} must be ${expected.dtype}[${expected.shape}], got ${value.dtype}[${value.shape}]`,
      );
    }
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.release();
  }
}
