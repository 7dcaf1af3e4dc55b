import { sizeOf } from "../tensor/shape.ts";
import { damagedWeights } from "./damaged.ts";
import { type ElementType, elementBytes, type RawTensor } from "./element-types.ts";
import { PickleDict, PickleGlobal, PickleObject, type PickleValue, readPickle } from "./pickle.ts";
import { readZip, type ZipMembers } from "./zip.ts";

/** Tensors of a state dict by name, as they lie in the file. */
export type RawTensors = ReadonlyMap<string, RawTensor>;

const storageTypes: Readonly<Record<string, ElementType>> = {
  "torch.DoubleStorage": "float64",
  "torch.FloatStorage": "float32",
  "torch.HalfStorage": "float16",
  "torch.BFloat16Storage": "bfloat16",
  "torch.LongStorage": "int64",
  "torch.IntStorage": "int32",
  "torch.ShortStorage": "int16",
  "torch.CharStorage": "int8",
  "torch.ByteStorage": "uint8",
  "torch.BoolStorage": "bool",
};

interface Storage {
  readonly type: ElementType;
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** What a training script may have put the state dict into. */
const wrappers = ["state_dict", "model_state_dict", "model"] as const;
const maxRank = 8;
/** Views share their storage, so that a small file could stand for tensors without end. */
const maxGrowth = 4;

/**
 * Tensors of a file of torch.save (the zip format, since PyTorch 1.6): a state dict, or a dict that holds one. The
 * pickle in it is read as data: no name but those of tensors, storages and ordered dicts is known, and none is run.
 * Sources: torch.serialization, torch._utils._rebuild_tensor_v2.
 * @throws WEIGHTS_DAMAGED
 */
export function readPth(file: Uint8Array): RawTensors {
  if (file[0] === 0x80) {
    throw damagedWeights(
      "it is of PyTorch's format before 1.6: save it again with a newer one: torch.save(torch.load(path), path)",
    );
  }
  const members = readZip(file);
  const { prefix, pickle } = findPickle(members);
  checkByteOrder(members, prefix);
  const reader = tensorReader(members, prefix, maxGrowth * file.length + 1024);
  return stateDict(readPickle(pickle, reader));
}

function findPickle(members: ZipMembers): { prefix: string; pickle: Uint8Array } {
  const found = [...members.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  const [member] = found;
  if (member === undefined || found.length > 1) {
    throw damagedWeights(`the archive has ${found.length} members NAME/data.pkl instead of one`);
  }
  const prefix = member.name.slice(0, -"data.pkl".length);
  if ([...members.keys()].some((name) => name.startsWith(`${prefix}code/`))) {
    throw damagedWeights("it is a TorchScript program: save its state dict: torch.save(model.state_dict(), path)");
  }
  return { prefix, pickle: member.read() };
}

function checkByteOrder(members: ZipMembers, prefix: string): void {
  const order = members.get(`${prefix}byteorder`);
  if (order === undefined) return;
  const text = Buffer.from(order.read().subarray(0, 10)).toString("latin1");
  if (text !== "little") throw damagedWeights(`its numbers are in the byte order ${JSON.stringify(text)}`);
}

/** How the names of a state dict become tensors. `budget`: bytes that all tensors may take. */
function tensorReader(members: ZipMembers, prefix: string, budget: number) {
  const storages = new Map<string, Storage>();
  let left = budget;
  return {
    allows: (name: string): boolean => Object.hasOwn(storageTypes, name) || Object.hasOwn(builders, name),
    build(name: string, args: readonly PickleValue[]): PickleValue {
      const builder = Object.hasOwn(builders, name) ? builders[name] : undefined;
      if (builder === undefined) throw damagedWeights(`its pickle calls ${name}`);
      const result = builder(args);
      if (result instanceof PickleObject) {
        left -= (result.content as RawTensor).bytes.length;
        if (left < 0) throw damagedWeights(`its tensors take more than ${maxGrowth} times the bytes of the file`);
      }
      return result;
    },
    load(id: PickleValue): PickleValue {
      const [kind, type, key, , count] = Array.isArray(id) ? id : [];
      const known = type instanceof PickleGlobal ? storageTypes[type.name] : undefined;
      if (kind !== "storage" || known === undefined || typeof key !== "string" || !isCount(count)) {
        throw damagedWeights("its pickle refers to what is no storage");
      }
      const member = members.get(`${prefix}data/${key}`);
      if (member === undefined) throw damagedWeights(`the storage ${JSON.stringify(key.slice(0, 80))} is missing`);
      if (member.size !== count * elementBytes[known]) {
        throw damagedWeights(
          `the storage ${JSON.stringify(key)} has ${member.size} bytes, not ${count} elements of ${known}`,
        );
      }
      const storage = storages.get(key) ?? { type: known, count, bytes: member.read() };
      if (storage.type !== known) throw damagedWeights(`the storage ${JSON.stringify(key)} has two element types`);
      storages.set(key, storage);
      return new PickleObject(storage);
    },
  };
}

type Builder = (args: readonly PickleValue[]) => PickleValue;

const builders: Readonly<Record<string, Builder>> = {
  "collections.OrderedDict": (args) => {
    if (args.length > 0) throw damagedWeights("its pickle makes a dict of something");
    return new PickleDict();
  },
  "torch._utils._rebuild_tensor_v2": ([storage, offset, shape, strides]) => {
    if (!(storage instanceof PickleObject) || !isStorage(storage.content))
      throw damagedWeights("a tensor has no storage");
    if (!isCount(offset) || !isCounts(shape) || !isCounts(strides) || shape.length !== strides.length) {
      throw damagedWeights("a tensor has no possible shape, strides and offset");
    }
    return new PickleObject(view(storage.content, { offset, shape, strides }));
  },
  "torch._utils._rebuild_parameter": ([tensor]) => {
    if (!(tensor instanceof PickleObject) || isStorage(tensor.content))
      throw damagedWeights("a parameter has no tensor");
    return tensor;
  },
};

interface View {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** The elements that a view shows, row by row. */
function view({ type, count, bytes }: Storage, { offset, shape, strides }: View): RawTensor {
  if (shape.length > maxRank) throw damagedWeights(`a tensor has ${shape.length} dimensions`);
  const size = sizeOf(shape);
  const last = shape.reduce((sum, dim, i) => sum + Math.max(0, dim - 1) * strides[i]!, offset);
  if (!Number.isSafeInteger(last) || !Number.isSafeInteger(size) || (size > 0 && last >= count)) {
    throw damagedWeights(`a tensor of shape [${shape}] and strides [${strides}] exceeds its ${count} elements`);
  }
  // No tensor of a network repeats elements; a view that does could be far larger than its storage.
  if (size > count) throw damagedWeights(`a tensor of shape [${shape}] repeats the ${count} elements of its storage`);
  const width = elementBytes[type];
  if (isContiguous(shape, strides)) {
    return { type, shape, bytes: bytes.subarray(offset * width, (offset + size) * width) };
  }
  const out = new Uint8Array(size * width);
  const index = shape.map(() => 0);
  for (let to = 0, from = offset; to < size; to++) {
    out.set(bytes.subarray(from * width, (from + 1) * width), to * width);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      from -= shape[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
  return { type, shape, bytes: out };
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

function stateDict(file: PickleValue): RawTensors {
  if (!(file instanceof PickleDict)) throw damagedWeights("it holds no dict of tensors");
  const wrapped = wrappers.map((name) => file.entries.get(name)).find((inner) => inner instanceof PickleDict);
  const value = wrapped ?? file;
  const tensors = new Map<string, RawTensor>();
  for (const [name, tensor] of value.entries) {
    if (typeof name !== "string") throw damagedWeights("a tensor's name is no text");
    if (!(tensor instanceof PickleObject) || isStorage(tensor.content)) {
      throw damagedWeights(`${JSON.stringify(name.slice(0, 80))} is no tensor: it is no state dict`);
    }
    tensors.set(name, tensor.content as RawTensor);
  }
  return tensors;
}

function isStorage(content: unknown): content is Storage {
  return typeof content === "object" && content !== null && "count" in content;
}

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: PickleValue | undefined): value is readonly number[] {
  return Array.isArray(value) && value.every(isCount);
}
