import { crc32 } from "node:zlib";
import { sizeOf } from "../../src/tensor/shape.ts";
import type { Named, Tensor } from "../../src/tensor/tensor.ts";

export interface Member {
  readonly name: string;
  readonly data: Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  /** What the headers claim, where it is not the truth. */
  readonly crc?: number;
  readonly size?: number;
  /** Where the directory says that the member is. */
  readonly at?: number;
}

/** A zip archive of stored members: a writer of its own, to check the reader by. */
export function zip(members: readonly Member[]): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, data, method = 0, flags = 0, crc = crc32(data), size = data.length, at: claimed } of members) {
    const nameBytes = Buffer.from(name);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(nameBytes.length, 26);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(flags, 8);
    central.writeUInt16LE(method, 10);
    central.writeUInt32LE(crc, 16);
    central.writeUInt32LE(size, 20);
    central.writeUInt32LE(size, 24);
    central.writeUInt16LE(nameBytes.length, 28);
    central.writeUInt32LE(claimed ?? at, 42);
    locals.push(local, nameBytes, Buffer.from(data));
    directory.push(central, nameBytes);
    at += 30 + nameBytes.length + data.length;
  }
  const table = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(table.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...locals, table, end]);
}

/** Pieces of a pickle of protocol 2, in Python's order. */
export const pickle = {
  file: (...body: Buffer[]): Buffer => Buffer.concat([Buffer.of(0x80, 2), ...body, Buffer.from(".")]),
  global: (module: string, name: string): Buffer => Buffer.from(`c${module}\n${name}\n`),
  text: (value: string): Buffer => {
    const bytes = Buffer.from(value);
    const head = Buffer.alloc(5);
    head.write("X");
    head.writeUInt32LE(bytes.length, 1);
    return Buffer.concat([head, bytes]);
  },
  int: (value: number): Buffer => {
    const bytes = Buffer.alloc(10);
    bytes[0] = 0x8a;
    bytes[1] = 8;
    bytes.writeBigInt64LE(BigInt(value), 2);
    return bytes;
  },
  tuple: (...items: Buffer[]): Buffer => Buffer.concat([Buffer.from("("), ...items, Buffer.from("t")]),
  dict: (...pairs: Buffer[]): Buffer => Buffer.concat([Buffer.from("}("), ...pairs, Buffer.from("u")]),
  storage: (key: string, count: number, type = "FloatStorage"): Buffer =>
    Buffer.concat([
      pickle.tuple(
        ...[pickle.text("storage"), pickle.global("torch", type), pickle.text(key)],
        ...[pickle.text("cpu"), pickle.int(count)],
      ),
      Buffer.from("Q"),
    ]),
  /** torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict()) */
  tensor: (storage: Buffer, offset: number, shape: readonly number[], strides: readonly number[]): Buffer =>
    Buffer.concat([
      pickle.global("torch._utils", "_rebuild_tensor_v2"),
      pickle.tuple(
        ...[
          storage,
          pickle.int(offset),
          pickle.tuple(...shape.map(pickle.int)),
          pickle.tuple(...strides.map(pickle.int)),
        ],
        Buffer.from("\x89", "latin1"),
        Buffer.concat([pickle.global("collections", "OrderedDict"), Buffer.from(")R")]),
      ),
      Buffer.from("R"),
    ]),
};

/** A file of torch.save with this pickle and these storages. */
export function torchFile(body: Buffer, storages: Readonly<Record<string, Uint8Array>> = {}): Buffer {
  return zip([
    { name: "archive/data.pkl", data: pickle.file(body) },
    { name: "archive/byteorder", data: Buffer.from("little") },
    ...Object.entries(storages).map(([key, data]) => ({ name: `archive/data/${key}`, data })),
  ]);
}

/** A sound file of two tensors: "a" [2, 2] = 0..3, "b" [2] = 2, 3, in one storage. */
export function soundFile(): Buffer {
  const storage = pickle.storage("0", 4);
  return torchFile(
    pickle.dict(
      ...[pickle.text("a"), pickle.tensor(storage, 0, [2, 2], [2, 1])],
      ...[pickle.text("b"), pickle.tensor(storage, 2, [2], [1])],
    ),
    { "0": new Uint8Array(Float32Array.of(0, 1, 2, 3).buffer) },
  );
}

/** A file of torch.save with these float32 tensors, each in a storage of its own. */
export function stateDictFile(tensors: Named<Tensor<"float32">>): Buffer {
  const entries = Object.entries(tensors);
  const strides = (shape: readonly number[]): number[] => shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const items = entries.flatMap(([name, { shape }], i) => [
    pickle.text(name),
    pickle.tensor(pickle.storage(`${i}`, sizeOf(shape)), 0, shape, strides(shape)),
  ]);
  const bytes = ({ data }: Tensor): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return torchFile(pickle.dict(...items), Object.fromEntries(entries.map(([, tensor], i) => [`${i}`, bytes(tensor)])));
}
