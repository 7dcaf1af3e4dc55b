import { readFileSync } from "node:fs";
import { sizeOf } from "../../src/tensor/shape.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";

/** Where an array lies in the binary file; the offset is in elements of four bytes. */
export interface GoldenArray {
  readonly dtype: "float32" | "int32";
  readonly shape: readonly number[];
  readonly offset: number;
}

export interface GoldenFile<Index> {
  readonly index: Index;
  read(array: GoldenArray): Tensor;
}

/** Opens NAME.json and NAME.bin beside this file, as scripts/goldens/golden_file.py writes them. */
export function openGolden<Index>(name: string): GoldenFile<Index> {
  const at = (ending: string): URL => new URL(`./${name}.${ending}`, import.meta.url);
  const bytes = Uint8Array.from(readFileSync(at("bin"))).buffer;
  return {
    index: JSON.parse(readFileSync(at("json"), "utf8")) as Index,
    read({ dtype, shape, offset }) {
      const [start, size] = [offset * 4, sizeOf(shape)];
      return dtype === "int32"
        ? tensor("int32", shape, new Int32Array(bytes, start, size))
        : tensor("float32", shape, new Float32Array(bytes, start, size));
    },
  };
}
