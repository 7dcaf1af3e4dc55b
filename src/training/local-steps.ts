import type { Network } from "../models/model.ts";
import { floatData, floats, type Named, type Tensor } from "../tensor/tensor.ts";
import type { Compression, LocalSteps, Peers } from "./peers.ts";

/** A training step's variables, read and written by name. */
interface Variables {
  writeState(state: Named<Tensor>): void;
  readState(names?: readonly string[]): Record<string, Tensor>;
}

export interface OuterOptions extends LocalSteps {
  readonly peers: Peers;
  readonly model: Network;
  /** Names of what is averaged over the processes, beside the parameters: averages of weights. */
  readonly averaged: readonly string[];
  /** Variables before the first step. */
  readonly state: Named<Tensor>;
  readonly compression?: Compression | undefined;
}

/** What one process tells of its steps since the last exchange. */
export interface LocalFigures {
  readonly loss: number;
  readonly isAskedToStop: boolean;
}

const prefix = "outer/";
const momentumPrefix = "outer-momentum/";

/** Whether a variable of a checkpoint belongs to the outer optimiser. */
export function isOuter(name: string): boolean {
  return name.startsWith(prefix) || name.startsWith(momentumPrefix);
}

/** The optimiser between the processes. Its state is the same in all of them. */
export class OuterOptimizer {
  readonly #options: OuterOptions;
  readonly #parameters: Packed;
  readonly #averaged: Packed;
  /** Where the parameters were after the last exchange, and the momentum. */
  #anchor: Float32Array;
  #momentum: Float32Array;
  readonly #residual: Float32Array | undefined;

  /** @param saved its variables in a checkpoint; without them it begins where `state` is */
  constructor(options: OuterOptions, saved: Named<Tensor> = {}) {
    const { peers, model, averaged, state, compression = "none" } = options;
    this.#options = options;
    this.#parameters = new Packed(
      peers,
      model.module.parameters.filter(({ trainable }) => trainable),
    );
    const shapeOf = (name: string) => ({ name, shape: state[name]!.shape });
    const isReal = (name: string) => state[name]?.dtype === "float32";
    const buffers = model.module.buffers.map(({ name }) => name);
    // Two more places: the loss, and how many are asked to stop.
    this.#averaged = new Packed(peers, [...buffers, ...averaged].filter(isReal).map(shapeOf), 2);
    this.#anchor = this.#parameters.pack((name) => saved[`${prefix}${name}`] ?? state[name]!).slice();
    this.#momentum = new Float32Array(this.#anchor.length);
    for (const { name, at, size } of this.#parameters.places) {
      const momentum = saved[`${momentumPrefix}${name}`];
      if (momentum !== undefined) this.#momentum.set(floatData(momentum).subarray(0, size), at);
    }
    this.#residual = compression === "none" ? undefined : peers.allocate(this.#anchor.length);
  }

  /** Moves all processes to the same parameters. @returns the mean of the losses, and whether any is asked to stop */
  async exchange(variables: Variables, { loss, isAskedToStop }: LocalFigures): Promise<LocalFigures> {
    const { peers, learningRate, momentum } = this.#options;
    const share = 1 / peers.worldSize;
    const local = variables.readState(this.#parameters.names);
    const change = this.#parameters.pack((name) => local[name]!);
    for (let i = 0; i < change.length; i++) change[i] = (this.#anchor[i]! - change[i]!) * share;
    await peers.allReduce(change, this.#residual);
    // They become its own at the end: when a process is lost on the way, all go on from the exchange before.
    const [anchor, velocity] = [this.#anchor.slice(), this.#momentum.slice()];
    for (let i = 0; i < change.length; i++) {
      velocity[i] = momentum * velocity[i]! + change[i]!;
      anchor[i]! -= learningRate * (change[i]! + momentum * velocity[i]!);
    }
    const others = variables.readState(this.#averaged.names);
    const mean = this.#averaged.pack((name) => others[name]!);
    const figures = this.#averaged.extra;
    figures.set([loss, isAskedToStop ? peers.worldSize : 0]);
    for (let i = 0; i < mean.length; i++) mean[i]! *= share;
    await peers.allReduce(mean);
    [this.#anchor, this.#momentum] = [anchor, velocity];
    variables.writeState({ ...this.#parameters.unpack(anchor), ...this.#averaged.unpack(mean) });
    return { loss: figures[0]!, isAskedToStop: figures[1]! > 0 };
  }

  /** Its part of a checkpoint. */
  readState(): Record<string, Tensor> {
    const under = (name: string, of: Float32Array) =>
      Object.entries(this.#parameters.unpack(of)).map(([parameter, value]) => [`${name}${parameter}`, value] as const);
    return Object.fromEntries([...under(prefix, this.#anchor), ...under(momentumPrefix, this.#momentum)]);
  }
}

interface Place {
  readonly name: string;
  readonly shape: readonly number[];
  readonly at: number;
  readonly size: number;
}

/** Tensors side by side in memory that can be summed over processes. */
class Packed {
  readonly places: readonly Place[];
  readonly #memory: Float32Array;
  readonly #length: number;

  constructor(
    peers: Peers,
    tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
    extra = 0,
  ) {
    let at = 0;
    this.places = tensors.map(({ name, shape }) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const place = { name, shape, at, size };
      at += size;
      return place;
    });
    this.#length = at;
    this.#memory = peers.allocate(at + extra);
  }

  get names(): readonly string[] {
    return this.places.map(({ name }) => name);
  }

  /** The places behind the tensors. */
  get extra(): Float32Array {
    return this.#memory.subarray(this.#length);
  }

  /** The memory, filled. */
  pack(tensorOf: (name: string) => Tensor): Float32Array {
    for (const { name, at } of this.places) this.#memory.set(floatData(tensorOf(name)), at);
    return this.#memory;
  }

  /** Copies, by name. */
  unpack(values: Float32Array): Record<string, Tensor> {
    return Object.fromEntries(
      this.places.map(({ name, shape, at, size }) => [
        name,
        floats(shape, new Float32Array(values.subarray(at, at + size))),
      ]),
    );
  }
}
