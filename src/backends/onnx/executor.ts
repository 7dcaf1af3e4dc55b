import { mustGet } from "../../base/assert.ts";
import { PipelineError } from "../../base/errors.ts";
import { availableCores } from "../../base/machine-limits.ts";
import { checkFeeds, checkState, requireWritten } from "../../graph/check-tensors.ts";
import type { Executable, Executor } from "../../graph/executor.ts";
import { countFlops } from "../../graph/flops.ts";
import type { Graph, Variable } from "../../graph/graph.ts";
import type { Value } from "../../graph/value.ts";
import { verifyGraph } from "../../graph/verify.ts";
import { floatData, type Named, type Tensor } from "../../tensor/tensor.ts";
import { chooseDevice, type Device, type DeviceRequest } from "./devices.ts";
import { type Layout, packFilter, physicalShape, unpackFilter } from "./layout.ts";
import { loweringRules } from "./lower/rules.ts";
import { Lowering } from "./lowering.ts";
import { ModelWriter } from "./model-writer.ts";
import { ort } from "./onnxruntime.ts";
import { fromOrt, toOrt } from "./ort-tensor.ts";
import { blockSize } from "./probe.ts";

export interface OnnxExecutorOptions {
  readonly device?: DeviceRequest;
  /** Threads inside one operator; 0, the default, takes all cores. */
  readonly threads?: number;
  /** "blocked" insists on onnxruntime's blocked convolution kernels, "plain" avoids them. */
  readonly kernels?: "auto" | "blocked" | "plain";
  /**
   * "thorough": onnxruntime rewrites the model, so that a step is up to 4 % quicker. "none": the model is taken as it was
   * lowered, which makes a large graph ready in a fraction of the time (densenet201: 3 s for 42 s). The default is what
   * `runs` makes worth while.
   */
  readonly optimization?: "thorough" | "none";
  /** How often a graph will run; default: very often. */
  readonly runs?: number;
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
  const workers = threads > 0 ? threads : availableCores();
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
    compile: (graph, sharing) =>
      compile(graph, {
        ...{ device, threads: workers, block, sharing, profilePrefix: options.profilePrefix },
        optimization: options.optimization ?? worthwhile(graph, device, options.runs),
      }),
  };
}

/** Floating-point operations of all runs from which on the time that optimising takes comes back. */
const thoroughFromFlops = 1e13;

function worthwhile(graph: Graph, device: Device, runs: number | undefined): "thorough" | "none" {
  const isShort = runs !== undefined && countFlops(graph).total * runs < thoroughFromFlops;
  return device === "cpu" && isShort ? "none" : "thorough";
}

interface CompileOptions {
  readonly device: Device;
  readonly threads: number;
  readonly block: number;
  readonly optimization: "thorough" | "none";
  readonly profilePrefix: string | undefined;
  readonly sharing: Executable | undefined;
}

/** Names of a variable's value before and after a run in the model. */
const nextName = (name: string): string => `next/${name}`;
const outputName = (name: string): string => `out/${name}`;

async function compile(graph: Graph, options: CompileOptions): Promise<Executable> {
  const { device, threads, block, optimization, profilePrefix, sharing } = options;
  verifyGraph(graph);
  const writer = new ModelWriter(graph.name);
  const memory = sharing instanceof OnnxExecutable ? sharing.memory : newMemory();
  const lowering = new Lowering(graph, { writer, rules: loweringRules, block, layouts: memory.layouts });
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
  const isRead = ({ current, next }: Variable): boolean => reached.has(current) || next === current;
  for (const [name, variable] of Object.entries(graph.variables)) {
    if (!isRead(variable) && memory.layouts.get(name) === undefined) continue;
    const layout = declare(name, variable.current);
    slots.set(name, { value: variable.current, layout, shape: fed.get(name)! });
  }
  lowering.run();
  // Written here to be read by others: it stays as it was computed.
  for (const [name, { current, next }] of Object.entries(graph.variables)) {
    if (slots.has(name)) continue;
    const layout = lowering.physical(next).layout === "blocked" ? "blocked" : "plain";
    slots.set(name, { value: current, layout, shape: physicalShape(layout, current.shape, block) });
  }
  for (const [name, { layout }] of slots) memory.layouts.set(name, layout);
  for (const [name, value] of Object.entries(graph.outputs)) {
    writer.alias(lowering.plain(value), outputName(name));
    writer.output(outputName(name), value.dtype, value.shape);
  }
  for (const [name, { current, next }] of Object.entries(graph.variables)) {
    if (next === current) continue;
    const { layout, shape } = slots.get(name)!;
    const isFilter = layout !== "plain" && layout !== "blocked";
    const result = isFilter
      ? lowering.filter(next, layout)
      : layout === "blocked"
        ? lowering.blocked(next)
        : lowering.plain(next);
    writer.alias(isFilter ? writer.reshape(result, shape) : result, nextName(name));
    writer.output(nextName(name), next.dtype, shape);
  }
  const session = await ort.InferenceSession.create(writer.finish(), {
    executionProviders: [device],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: optimization === "thorough" ? "all" : "disabled",
    // A pattern of all buffers costs memory and saves no time when every run has the same shapes.
    enableMemPattern: false,
    logSeverityLevel: 3,
    ...(profilePrefix === undefined ? {} : { enableProfiling: true, profileFilePrefix: profilePrefix }),
  });
  return new OnnxExecutable(graph, session, { slots, block, memory });
}

/** Where the variables of one or more executables are. */
interface Memory {
  readonly layouts: Map<string, Layout>;
  readonly state: Map<string, ort.Tensor>;
  /** Memory of the state before last, to be written by the next run: no fresh pages in the steady state. */
  readonly spare: Map<string, ort.Tensor>;
}

function newMemory(): Memory {
  return { layouts: new Map(), state: new Map(), spare: new Map() };
}

/** Where a variable lives. */
interface Slot {
  readonly value: Value;
  readonly layout: Layout;
  readonly shape: readonly number[];
}

interface Placement {
  readonly slots: ReadonlyMap<string, Slot>;
  readonly block: number;
  readonly memory: Memory;
}

class OnnxExecutable implements Executable {
  readonly #graph: Graph;
  readonly #session: ort.InferenceSession;
  readonly #slots: ReadonlyMap<string, Slot>;
  readonly #block: number;
  readonly #needed: ReadonlySet<string>;
  readonly memory: Memory;

  constructor(graph: Graph, session: ort.InferenceSession, { slots, block, memory }: Placement) {
    this.#graph = graph;
    this.#session = session;
    this.#slots = slots;
    this.#block = block;
    this.memory = memory;
    this.#needed = new Set(session.inputNames);
  }

  async run(feeds: Named<Tensor>): Promise<Named<Tensor>> {
    const { state, spare } = this.memory;
    const bound: Record<string, ort.Tensor> = {};
    checkFeeds(this.#graph, feeds);
    for (const [name, fed] of Object.entries(feeds)) if (this.#needed.has(name)) bound[name] = toOrt(fed);
    for (const name of this.#slots.keys()) {
      if (this.#needed.has(name)) bound[name] = requireWritten(this.#graph, name, state.get(name));
    }
    const fetches: Record<string, ort.Tensor | null> = {};
    for (const name of this.#session.outputNames) fetches[name] = spare.get(name) ?? null;
    const results = await this.#session.run(bound, fetches);
    for (const name of this.#slots.keys()) {
      const next = results[nextName(name)];
      if (next === undefined) continue;
      const before = state.get(name);
      if (before !== undefined) spare.set(nextName(name), before);
      state.set(name, next);
    }
    return Object.fromEntries(
      Object.keys(this.#graph.outputs).map((name) => [name, fromOrt(results[outputName(name)]!)]),
    );
  }

  writeState(values: Named<Tensor>): void {
    checkState(this.#graph, values);
    for (const [name, value] of Object.entries(values)) {
      const { layout, shape } = mustGet(this.#slots, name, "variable");
      const data =
        layout === "plain" || layout === "blocked"
          ? value.data.slice()
          : packFilter(layout, value.shape, floatData(value), this.#block);
      this.memory.state.set(name, toOrt({ dtype: value.dtype, shape, data }));
      this.memory.spare.delete(nextName(name));
    }
  }

  readState(names: readonly string[] = [...this.#slots.keys()]): Record<string, Tensor> {
    return Object.fromEntries(
      names.map((name) => {
        const tensor = fromOrt(requireWritten(this.#graph, name, this.memory.state.get(name)));
        const { layout, value } = mustGet(this.#slots, name, "variable");
        const data =
          layout === "plain" || layout === "blocked"
            ? tensor.data.slice()
            : unpackFilter(layout, value.shape, floatData(tensor), this.#block);
        return [name, { dtype: value.dtype, shape: value.shape, data }];
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.release();
  }
}
