import type { Executable, Executor } from "../graph/executor.ts";
import type { Graph } from "../graph/graph.ts";
import { divide, type Section, type SectionSum } from "../graph/passes/sections.ts";
import { floatData, type Named, type Tensor } from "../tensor/tensor.ts";
import type { Compression, Peers } from "./peers.ts";

export interface SectionedOptions {
  readonly executor: Executor;
  readonly peers: Peers;
  /** Floats in a bucket: what is summed in one call. Default 1 Mi, 4 MiB of memory. */
  readonly bucketSize?: number | undefined;
  /** Sections of the backward pass, so that the first gradients travel while the others are computed; default 1. */
  readonly parts?: number | undefined;
  /** Of the gradients of large parameters; default "none". */
  readonly compression?: Compression | undefined;
  /** Variables of the same name are those of this executable. */
  readonly sharing?: Executable | undefined;
}

/** Fewer numbers than these travel as they are: they are cheap, and losses and counts are among them. */
const compressedFrom = 4096;

interface CompiledSection extends Section {
  readonly executable: Executable;
  /** Where its sums travel, by arrival. */
  readonly now: readonly Buckets[];
  readonly late: readonly Buckets[];
}

/**
 * Compiles a graph with sums over processes: its sections run one after the other, and between them the sums are made.
 * Late sums are sent bucket by bucket as soon as their section has run, and awaited before the last section.
 */
export async function compileSections(graph: Graph, options: SectionedOptions): Promise<Executable> {
  const { executor, peers, parts = 1, bucketSize = 2 ** 20, compression = "none", sharing } = options;
  const { sections, summedOutputs } = divide(graph, { parts });
  const compiled: CompiledSection[] = [];
  const close = async (): Promise<void> => {
    for (const { executable } of compiled.splice(0).reverse()) await executable[Symbol.asyncDispose]();
  };
  try {
    for (const section of sections) {
      const executable = await executor.compile(section.graph, compiled[0]?.executable ?? sharing);
      const now = section.sums.filter(({ arrival }) => arrival === "now");
      const late = section.sums.filter(({ arrival }) => arrival === "late");
      const isLarge = ({ size }: SectionSum) => compression !== "none" && size >= compressedFrom;
      compiled.push({
        ...section,
        executable,
        now: [new Buckets(now, { peers, bucketSize })],
        late: [
          new Buckets(late.filter(isLarge), { peers, bucketSize, compression }),
          new Buckets(
            late.filter((sum) => !isLarge(sum)),
            { peers, bucketSize },
          ),
        ],
      });
    }
  } catch (error) {
    await close();
    throw error;
  }
  const holderOf = (name: string): Executable =>
    (compiled.find((section) => section.graph.variables[name] !== undefined) ?? compiled[0]!).executable;

  return {
    async run(feeds) {
      const values: Record<string, Tensor> = { ...feeds };
      const outputs: Record<string, Tensor> = {};
      const arriving: Promise<Named<Tensor>>[] = [];
      for (const [at, { graph: part, executable, now, late }] of compiled.entries()) {
        if (at === compiled.length - 1) for (const sums of arriving.splice(0)) Object.assign(values, await sums);
        const fed = Object.fromEntries(Object.keys(part.inputs).map((name) => [name, values[name]!]));
        const results = await executable.run(fed);
        for (const name of Object.keys(graph.outputs)) {
          if (results[name] !== undefined) outputs[name] = results[name];
        }
        for (const buckets of late) {
          const sums = buckets.sum(results);
          // It is awaited below; a failure before that is no unhandled one.
          sums.catch(() => undefined);
          arriving.push(sums);
        }
        for (const buckets of now) Object.assign(values, await buckets.sum(results));
      }
      for (const sums of arriving) Object.assign(values, await sums);
      for (const [name, sum] of Object.entries(summedOutputs)) {
        const value = values[sum]!;
        // Not the memory of the next sum.
        outputs[name] = { ...value, data: value.data.slice() };
      }
      return outputs;
    },
    writeState(state) {
      for (const [name, value] of Object.entries(state)) holderOf(name).writeState({ [name]: value });
    },
    readState(names = Object.keys(graph.variables)) {
      return Object.assign({}, ...names.map((name) => holderOf(name).readState([name])));
    },
    [Symbol.asyncDispose]: close,
  };
}

interface BucketOptions {
  readonly peers: Peers;
  readonly bucketSize: number;
  readonly compression?: Compression;
}

/** Memory in which the sums of a section lie side by side and travel in pieces. */
class Buckets {
  readonly #sums: readonly SectionSum[];
  readonly #peers: Peers;
  readonly #bucketSize: number;
  readonly #memory: Float32Array;
  /** Where the sums are read: backends take no memory that is shared between threads. */
  readonly #results: Float32Array;
  /** What compression takes away, for the next sum; it begins with nothing where a step is compiled. */
  readonly #residual: Float32Array | undefined;

  constructor(sums: readonly SectionSum[], { peers, bucketSize, compression = "none" }: BucketOptions) {
    this.#sums = sums;
    this.#peers = peers;
    this.#bucketSize = bucketSize;
    const length = sums.reduce((total, { size }) => total + size, 0);
    this.#memory = length === 0 ? new Float32Array(0) : peers.allocate(length);
    this.#residual = compression === "none" || length === 0 ? undefined : peers.allocate(length);
    this.#results = this.#memory.buffer instanceof SharedArrayBuffer ? new Float32Array(length) : this.#memory;
  }

  /** Sums the outputs of these names; a bucket travels while the next one is filled. */
  async sum(outputs: Named<Tensor>): Promise<Record<string, Tensor>> {
    if (this.#sums.length === 0) return {};
    const sums: Record<string, Tensor> = {};
    const travelling: Promise<void>[] = [];
    let [filled, sent] = [0, 0];
    const send = (): void => {
      const [from, to] = [sent, filled];
      const bucket = this.#peers
        .allReduce(this.#memory.subarray(from, to), this.#residual?.subarray(from, to))
        .then(() => {
          if (this.#results !== this.#memory) this.#results.set(this.#memory.subarray(from, to), from);
        });
      bucket.catch(() => undefined);
      travelling.push(bucket);
      sent = filled;
    };
    for (const { name, size } of this.#sums) {
      const part = outputs[name]!;
      this.#memory.set(floatData(part), filled);
      sums[name] = { ...part, data: this.#results.subarray(filled, filled + size) };
      filled += size;
      if (filled - sent >= this.#bucketSize) send();
    }
    if (filled > sent) send();
    for (const bucket of travelling) await bucket;
    return sums;
  }
}
