import { damagedWeights } from "./damaged.ts";

/** What a pickle may be made of. Everything else is refused before it is built. */
export type PickleValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly PickleValue[]
  | PickleDict
  | PickleGlobal
  | PickleObject;

/** Keys in the order of the file. */
export class PickleDict {
  readonly entries = new Map<PickleValue, PickleValue>();
}

/** A name that stands for code in Python; here it is a word and nothing more. */
export class PickleGlobal {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** What the caller's `build` or `load` made of an allowed name. */
export class PickleObject<T = unknown> {
  readonly content: T;
  constructor(content: T) {
    this.content = content;
  }
}

export interface PickleHandlers {
  /** "torch.FloatStorage": may this name stand in the file? */
  allows(name: string): boolean;
  /** The result of calling an allowed name. @throws WEIGHTS_DAMAGED for impossible arguments */
  build(name: string, args: readonly PickleValue[]): PickleValue;
  /** The object behind a persistent id. @throws WEIGHTS_DAMAGED */
  load(id: PickleValue): PickleValue;
}

const maxOperations = 20_000_000;
const maxDepth = 100_000;
const maxText = 1 << 20;

/**
 * Reads a pickle of protocol 2 to 5 without running anything: of the 68 opcodes those 35 that plain data and state
 * dicts need, and of Python's names those that the caller knows. Any other opcode or name ends the reading.
 * Source: the opcode table of CPython's pickletools.
 * @throws WEIGHTS_DAMAGED naming the opcode or name and its place
 */
export function readPickle(file: Uint8Array, handlers: PickleHandlers): PickleValue {
  return new Reader(file, handlers).read();
}

class Reader {
  readonly #bytes: Buffer;
  readonly #handlers: PickleHandlers;
  #at = 0;
  #stack: PickleValue[] = [];
  readonly #marks: PickleValue[][] = [];
  readonly #memo = new Map<number, PickleValue>();

  constructor(file: Uint8Array, handlers: PickleHandlers) {
    this.#bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
    this.#handlers = handlers;
  }

  read(): PickleValue {
    if (this.#bytes[0] !== 0x80) throw damagedWeights("its pickle is of a protocol below 2");
    for (let operations = 0; operations < maxOperations; operations++) {
      const at = this.#at;
      const code = this.#take(1)[0]!;
      if (code === 0x2e) return this.#pop();
      const operation = opcodes[code];
      if (operation === undefined) {
        throw damagedWeights(
          `its pickle uses the opcode 0x${code.toString(16).padStart(2, "0")} at byte ${at}, which no state dict needs`,
        );
      }
      operation(this.#machine);
      if (this.#stack.length > maxDepth || this.#marks.length > maxDepth)
        throw damagedWeights("its pickle nests too deep");
    }
    throw damagedWeights(`its pickle has more than ${maxOperations} steps`);
  }

  #take(count: number): Buffer {
    if (this.#at + count > this.#bytes.length) throw damagedWeights("its pickle is cut off");
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined) throw damagedWeights("its pickle takes more values than there are");
    return value;
  }

  readonly #machine: Machine = {
    take: (count) => this.#take(count),
    text: (length) => {
      if (length > maxText) throw damagedWeights(`its pickle holds a text of ${length} bytes`);
      return this.#take(length).toString("utf8");
    },
    line: () => {
      const end = this.#bytes.indexOf(0x0a, this.#at);
      if (end < 0 || end - this.#at > 1000) throw damagedWeights("its pickle holds a name without end");
      const line = this.#bytes.toString("utf8", this.#at, end);
      this.#at = end + 1;
      return line;
    },
    push: (value) => this.#stack.push(value),
    pop: () => this.#pop(),
    top: () => {
      const value = this.#stack.at(-1);
      if (value === undefined) throw damagedWeights("its pickle takes more values than there are");
      return value;
    },
    mark: () => {
      this.#marks.push(this.#stack);
      this.#stack = [];
    },
    popMark: () => {
      const items = this.#stack;
      const before = this.#marks.pop();
      if (before === undefined) throw damagedWeights("its pickle lacks a mark");
      this.#stack = before;
      return items;
    },
    remember: (index, value) => this.#memo.set(index, value),
    memoSize: () => this.#memo.size,
    recall: (index) => {
      const value = this.#memo.get(index);
      if (value === undefined) throw damagedWeights(`its pickle recalls number ${index}, which it never stored`);
      return value;
    },
    global: (name) => {
      if (!this.#handlers.allows(name)) {
        throw damagedWeights(
          `its pickle names ${JSON.stringify(name.slice(0, 200))}, which is code and never run here`,
        );
      }
      return new PickleGlobal(name);
    },
    handlers: () => this.#handlers,
  };
}

interface Machine {
  take(count: number): Buffer;
  text(length: number): string;
  line(): string;
  push(value: PickleValue): void;
  pop(): PickleValue;
  top(): PickleValue;
  mark(): void;
  popMark(): PickleValue[];
  remember(index: number, value: PickleValue): void;
  memoSize(): number;
  recall(index: number): PickleValue;
  global(name: string): PickleGlobal;
  handlers(): PickleHandlers;
}

type Operation = (machine: Machine) => void;

/** By code; the names are CPython's. */
const opcodes: Readonly<Record<number, Operation>> = {
  // PROTO, FRAME
  128: (m) => {
    const protocol = m.take(1)[0]!;
    if (protocol < 2 || protocol > 5) throw damagedWeights(`its pickle is of protocol ${protocol}`);
  },
  149: (m) => void m.take(8),
  // GLOBAL, STACK_GLOBAL
  99: (m) => m.push(m.global(`${m.line()}.${m.line()}`)),
  147: (m) => {
    const name = m.pop();
    const module = m.pop();
    if (typeof name !== "string" || typeof module !== "string") throw damagedWeights("its pickle names no text");
    m.push(m.global(`${module}.${name}`));
  },
  // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
  113: (m) => m.remember(m.take(1)[0]!, m.top()),
  114: (m) => m.remember(m.take(4).readUInt32LE(), m.top()),
  148: (m) => m.remember(m.memoSize(), m.top()),
  104: (m) => m.push(m.recall(m.take(1)[0]!)),
  106: (m) => m.push(m.recall(m.take(4).readUInt32LE())),
  // MARK, POP, POP_MARK
  40: (m) => m.mark(),
  48: (m) => void m.pop(),
  49: (m) => void m.popMark(),
  // TUPLE, EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3
  116: (m) => m.push(m.popMark()),
  41: (m) => m.push([]),
  133: (m) => m.push(popped(m, 1)),
  134: (m) => m.push(popped(m, 2)),
  135: (m) => m.push(popped(m, 3)),
  // EMPTY_LIST, APPEND, APPENDS
  93: (m) => m.push([]),
  97: (m) => append(m, [m.pop()]),
  101: (m) => append(m, m.popMark()),
  // EMPTY_DICT, SETITEM, SETITEMS
  125: (m) => m.push(new PickleDict()),
  115: (m) => setItems(m, popped(m, 2)),
  117: (m) => setItems(m, m.popMark()),
  // NONE, NEWTRUE, NEWFALSE
  78: (m) => m.push(null),
  136: (m) => m.push(true),
  137: (m) => m.push(false),
  // BININT, BININT1, BININT2, LONG1, BINFLOAT
  74: (m) => m.push(m.take(4).readInt32LE()),
  75: (m) => m.push(m.take(1)[0]!),
  77: (m) => m.push(m.take(2).readUInt16LE()),
  138: (m) => m.push(long(m.take(m.take(1)[0]!))),
  71: (m) => m.push(m.take(8).readDoubleBE()),
  // BINUNICODE, SHORT_BINUNICODE
  88: (m) => m.push(m.text(m.take(4).readUInt32LE())),
  140: (m) => m.push(m.text(m.take(1)[0]!)),
  // BINPERSID, REDUCE, BUILD
  81: (m) => m.push(m.handlers().load(m.pop())),
  82: (m) => {
    const args = m.pop();
    const callee = m.pop();
    if (!(callee instanceof PickleGlobal) || !Array.isArray(args))
      throw damagedWeights("its pickle calls what is no name");
    m.push(m.handlers().build(callee.name, args));
  },
  98: (m) => {
    // The one object with a state in a state dict is the dict itself: PyTorch's notes on versions.
    m.pop();
    if (!(m.top() instanceof PickleDict)) throw damagedWeights("its pickle sets the state of what is no dict");
  },
};

function popped(m: Machine, count: number): PickleValue[] {
  return Array.from({ length: count }, () => m.pop()).reverse();
}

function append(m: Machine, items: readonly PickleValue[]): void {
  const list = m.top();
  if (!Array.isArray(list)) throw damagedWeights("its pickle appends to what is no list");
  for (const item of items) list.push(item);
}

function setItems(m: Machine, items: readonly PickleValue[]): void {
  const dict = m.top();
  if (!(dict instanceof PickleDict) || items.length % 2 !== 0) throw damagedWeights("its pickle fills what is no dict");
  for (let i = 0; i < items.length; i += 2) dict.entries.set(items[i]!, items[i + 1]!);
}

/** Two's complement, little-endian. */
function long(bytes: Buffer): number | bigint {
  if (bytes.length > 8) throw damagedWeights(`its pickle holds a whole number of ${bytes.length} bytes`);
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  const signed = BigInt.asIntN(8 * bytes.length, value);
  return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
}
