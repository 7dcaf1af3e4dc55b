import { PipelineError } from "../../base/errors.ts";
import { countUses, type Graph } from "../../graph/graph.ts";
import type { OpName } from "../../graph/ops.ts";
import { isOp, type Value } from "../../graph/value.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import { type FilterForm, filterForm, type Layout, physicalShape, roundUp } from "./layout.ts";
import { filterToPlain, plainToFilter } from "./lower/filters.ts";
import type { ModelWriter } from "./model-writer.ts";

/** A value as it exists in the ONNX model. */
export interface Physical {
  readonly name: string;
  readonly layout: Layout;
}

/** A blocked image whose channels still have to be multiplied by a factor [C padded], if there is one. */
export interface Factored {
  readonly name: string;
  readonly factor?: string;
}

export type LowerRule<V extends Value = Value> = (value: V, lowering: Lowering) => Physical | undefined;

/** The tables that say how operations are written. */
export interface LoweringRules {
  /** Ordinary ONNX operators: total. */
  readonly plain: { readonly [O in OpName]: LowerRule<Value<O>> };
  /** Tried first where there are blocked kernels. */
  readonly blocked: { readonly [O in OpName]?: LowerRule<Value<O>> };
  /** True for values that their user takes into its own pass: they are written only on demand. */
  isDeferred(value: Value, lowering: Lowering): boolean;
  /** Writes an image without its factor, where all its users can apply that more cheaply. */
  factored(value: Value, lowering: Lowering): Factored | undefined;
}

export interface LoweringOptions {
  readonly writer: ModelWriter;
  readonly rules: LoweringRules;
  /** Channels in a block of the blocked kernels; 0 where they are not to be used. */
  readonly block: number;
  /** Restricts the model to standard ONNX operators, as a file for other runtimes needs. */
  readonly portable?: boolean;
  /** The values whose first dimension is free: the batch. */
  readonly batched?: ReadonlySet<Value>;
  /** Layouts of variables that are decided already, by name. */
  readonly layouts?: ReadonlyMap<string, Layout>;
}

/** Operations that are written only when a user asks for them, since most users absorb them. */
const lazyOps: ReadonlySet<string> = new Set(["constant", "broadcast", "input"]);

/**
 * Translates one graph to ONNX. Each value is written once, in the layout that its rule prefers; `plain` and `blocked`
 * convert where a user needs another layout.
 */
export class Lowering {
  readonly graph: Graph;
  readonly writer: ModelWriter;
  readonly block: number;
  readonly portable: boolean;
  readonly #batched: ReadonlySet<Value> | undefined;
  readonly #rules: LoweringRules;
  readonly #uses: Map<Value, number>;
  readonly #users = new Map<Value, Value[]>();
  readonly #layouts = new Map<Value, Layout>();
  readonly #results = new Map<Value, Physical>();
  readonly #plain = new Map<Value, string>();
  readonly #blocked = new Map<Value, string>();
  readonly #filters = new Map<string, string>();
  readonly #factored = new Map<Value, Factored>();
  readonly #memo = new Map<string, readonly string[]>();
  readonly #ids = new Map<Value, number>();

  constructor(graph: Graph, options: LoweringOptions) {
    const { writer, rules, block, portable = false, batched, layouts = new Map() } = options;
    this.graph = graph;
    this.#rules = rules;
    this.writer = writer;
    this.block = block;
    this.portable = portable;
    this.#batched = batched;
    this.#uses = countUses(graph);
    graph.values.forEach((value, id) => {
      this.#ids.set(value, id);
      for (const operand of value.operands) {
        const users = this.#users.get(operand);
        if (users === undefined) this.#users.set(operand, [value]);
        else users.push(value);
      }
    });
    this.#chooseForms();
    for (const [name, { current }] of Object.entries(graph.variables)) {
      const layout = layouts.get(name);
      if (layout !== undefined) this.#layouts.set(current, layout);
    }
  }

  /** Writes every value that is needed. */
  run(): void {
    for (const value of this.graph.values) {
      if (!lazyOps.has(value.op) && !this.#rules.isDeferred(value, this)) this.physical(value);
    }
  }

  /** True where the model is to run on batches of any size. */
  get hasFreeBatch(): boolean {
    return this.#batched !== undefined;
  }

  /** True for a value whose first dimension is a free batch. */
  isBatched(value: Value): boolean {
    return this.#batched?.has(value) ?? false;
  }

  /** The one number that a value repeats everywhere. */
  scalarOf(value: Value): Value | undefined {
    if (value.shape.length === 0) return value;
    const source = isOp(value, "broadcast") ? value.operands[0]! : undefined;
    return source !== undefined && sizeOf(source.shape) === 1 && !this.isBatched(source) ? source : undefined;
  }

  /** Layout of the memory behind a variable; inputs are fed plain. */
  layoutOf(variable: Value): Layout {
    return this.#layouts.get(variable) ?? "plain";
  }

  /** Makes a graph input known under the name of a model input. */
  define(value: Value, physical: Physical): void {
    this.#results.set(value, physical);
  }

  /** The value in whichever layout it was written. */
  physical(value: Value): Physical {
    const known = this.#results.get(value);
    if (known !== undefined) return known;
    const { plain, blocked } = this.#rules;
    const blockedRule = this.block > 0 ? (blocked[value.op] as LowerRule | undefined) : undefined;
    const physical = this.#inLayer(
      value,
      () => blockedRule?.(value, this) ?? (plain[value.op] as LowerRule)(value, this),
    );
    if (physical === undefined) {
      throw new PipelineError("GRAPH_INVALID", `no lowering for ${value.op} of ${value.dtype}[${value.shape}]`);
    }
    this.#results.set(value, physical);
    return physical;
  }

  /** Name of the value in row-major order. */
  plain(value: Value): string {
    const { name, layout } = this.physical(value);
    if (layout === "plain") return name;
    return remember(this.#plain, value, () =>
      layout === "blocked"
        ? this.writer.op("ReorderOutput", [name], { channels: value.shape[1]! }, { domain: "com.microsoft.nchwc" })
        : filterToPlain(this.writer, name, layout, value.shape, this.block),
    );
  }

  /** Name of an image value in blocked order, channels padded. */
  blocked(value: Value): string {
    const physical = this.physical(value);
    if (physical.layout === "blocked") return physical.name;
    return remember(this.#blocked, value, () => {
      const channels = value.shape[1]!;
      const padding = roundUp(channels, this.block) - channels;
      const plain = this.plain(value);
      const padded =
        padding === 0 ? plain : this.writer.op("Pad", [plain, this.writer.ints([0, 0, 0, 0, 0, padding, 0, 0])]);
      return this.writer.op("ReorderInput", [padded], {}, { domain: "com.microsoft.nchwc" });
    });
  }

  /** The image as `blocked`, for users that are linear in it and multiply their result by its factor. */
  factored(value: Value): Factored {
    return remember(this.#factored, value, () =>
      this.#inLayer(value, () => this.#rules.factored(value, this) ?? { name: this.blocked(value) }),
    );
  }

  /** What `write` writes is called by the value's layer. */
  #inLayer<T>({ layer }: Value, write: () => T): T {
    const outer = this.writer.layer;
    this.writer.layer = layer ?? outer;
    const written = write();
    this.writer.layer = outer;
    return written;
  }

  isBlocked(value: Value): boolean {
    return this.physical(value).layout === "blocked";
  }

  /** Name of a weight in a filter form. */
  filter(value: Value, form: FilterForm): string {
    const physical = this.physical(value);
    if (physical.layout === form) return physical.name;
    return remember(this.#filters, `${form} ${this.id(value)}`, () =>
      plainToFilter(this.writer, this.plain(value), form, value.shape, this.block),
    );
  }

  /** A channel parameter [C] or [N, C] with its channels padded by zeros to whole blocks. */
  channels(value: Value): string {
    const name = this.plain(value);
    const channels = value.shape.at(-1)!;
    const padding = roundUp(channels, this.block) - channels;
    if (padding === 0) return name;
    return this.memo(`channels ${name}`, () => {
      const before = value.shape.map(() => 0);
      const after = value.shape.map((_, i) => (i === value.shape.length - 1 ? padding : 0));
      return this.writer.op("Pad", [name, this.writer.ints([...before, ...after])]);
    });
  }

  /** Shape of the memory of a blocked image. */
  blockedShape(shape: Shape): readonly [number, number, number, number] {
    return physicalShape("blocked", shape, this.block) as unknown as readonly [number, number, number, number];
  }

  /** Writes an intermediate result once per key. */
  memo(key: string, write: () => string): string {
    return this.memoList(key, () => [write()])[0]!;
  }

  /** The same for an operation with several results. */
  memoList(key: string, write: () => readonly string[]): readonly string[] {
    return remember(this.#memo, key, write);
  }

  /** Small number that names a value in memo keys. */
  id(value: Value): number {
    return this.#ids.get(value) ?? -1;
  }

  uses(value: Value): number {
    return this.#uses.get(value) ?? 0;
  }

  users(value: Value): readonly Value[] {
    return this.#users.get(value) ?? [];
  }

  /** The only user of a value that nothing else needs. */
  soleUser(value: Value): Value | undefined {
    return this.uses(value) === 1 ? this.users(value)[0] : undefined;
  }

  /** Weights that are variables lie in memory as their convolution wants them. */
  #chooseForms(): void {
    if (this.block === 0) return;
    const variables = new Set<Value>(Object.values(this.graph.variables).map((variable) => variable.current));
    for (const value of this.graph.values) {
      const weight = value.operands[1];
      if (weight === undefined || !variables.has(weight)) continue;
      let form: FilterForm | undefined;
      if (isOp(value, "conv2d")) form = filterForm(value.operands[0]!.shape, weight.shape, value.attrs, this.block);
      else if (isOp(value, "conv2dInputGrad")) {
        form = filterForm(value.attrs.inputShape, weight.shape, value.attrs, this.block);
      }
      if (form !== undefined) this.#layouts.set(weight, form);
    }
    for (const variable of variables) {
      const { shape } = variable;
      const oneTap = shape.length === 4 && shape[2] === 1 && shape[3] === 1;
      if (oneTap && !this.#layouts.has(variable)) this.#layouts.set(variable, "matrix");
    }
    for (const { current, layoutLike } of Object.values(this.graph.variables)) {
      const parameter = layoutLike === undefined ? undefined : this.graph.variables[layoutLike]?.current;
      const form = parameter === undefined ? undefined : this.#layouts.get(parameter);
      if (form !== undefined) this.#layouts.set(current, form);
    }
  }
}

function remember<K, T>(map: Map<K, T>, key: K, write: () => T): T {
  const known = map.get(key);
  if (known !== undefined) return known;
  const written = write();
  map.set(key, written);
  return written;
}
