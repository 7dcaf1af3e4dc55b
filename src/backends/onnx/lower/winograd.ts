import type { Value } from "../../../graph/value.ts";
import type { Lowering } from "../lowering.ts";
import { affine } from "./blocked-affine.ts";

/**
 * Winograd F(4x4, 3x3) convolution (Lavin and Gray, 2016) out of gathers and matrix products: tiles of 6x6 inputs are
 * transformed by one product with the Kronecker square of B^T, multiplied by the transformed filters channel by channel
 * (36 products), and transformed back by the Kronecker square of A^T. Weights lie tap by tap, [9, I * O].
 */
const inputTransform = [
  [4, 0, -5, 0, 1, 0],
  [0, -4, -4, 1, 1, 0],
  [0, 4, -4, -1, 1, 0],
  [0, -2, -1, 2, 1, 0],
  [0, 2, -1, -2, 1, 0],
  [0, 4, 0, -5, 0, 1],
];
const filterTransform = [
  [1 / 4, 0, 0],
  [-1 / 6, -1 / 6, -1 / 6],
  [-1 / 6, 1 / 6, -1 / 6],
  [1 / 24, 1 / 12, 1 / 6],
  [1 / 24, -1 / 12, 1 / 6],
  [0, 0, 1],
];
const outputTransform = [
  [1, 1, 1, 1, 1, 0],
  [0, 1, -1, 2, -2, 0],
  [0, 1, 1, 4, 4, 0],
  [0, 1, -1, 8, -8, 1],
];

const TILE = 4;

/** Kronecker square of a matrix, row-major. */
function square(matrix: readonly (readonly number[])[]): Float32Array {
  const [rows, columns] = [matrix.length, matrix[0]!.length];
  const result = new Float32Array(rows * rows * columns * columns);
  let at = 0;
  for (let a = 0; a < rows; a++) {
    for (let b = 0; b < rows; b++) {
      for (let c = 0; c < columns; c++) {
        for (let d = 0; d < columns; d++) result[at++] = matrix[a]![c]! * matrix[b]![d]!;
      }
    }
  }
  return result;
}

const transposed = (matrix: readonly (readonly number[])[]): number[][] =>
  matrix[0]!.map((_, column) => matrix.map((row) => row[column]!));
const reversedColumns = (matrix: readonly (readonly number[])[]): number[][] => matrix.map((row) => [...row].reverse());

interface Tiling {
  readonly n: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly rows: number;
  readonly columns: number;
}

function tilingOf(image: Value): Tiling {
  const [n, channels, height, width] = image.shape as [number, number, number, number];
  return { n, channels, height, width, rows: Math.ceil(height / TILE), columns: Math.ceil(width / TILE) };
}

/** The image, without its factor, with one zero around it and as many more as whole tiles need. */
function padded(image: Value, lowering: Lowering): string {
  const { height, width, rows, columns } = tilingOf(image);
  const { name } = lowering.factored(image);
  return lowering.memo(`winograd padding ${name}`, () => {
    const pads = [1, 1, TILE * rows + 1 - height, TILE * columns + 1 - width] as const;
    return affine(lowering, name, lowering.blockedShape(image.shape), { pads });
  });
}

/** Bytes of transformed tiles that are worked on at a time: bounds the memory of a chunk. */
const CHUNK_BYTES = 32 << 20;

/** Images [start, end) that are worked on together. */
type Range = readonly [start: number, end: number];

function chunksOf(x: Value, channels: number): Range[] {
  const { n, rows, columns } = tilingOf(x);
  const perImage = 36 * rows * columns * channels * 4;
  const count = Math.max(1, Math.min(n, Math.round((n * perImage) / CHUNK_BYTES)));
  return Array.from({ length: count }, (_, i) => [Math.floor((i * n) / count), Math.floor(((i + 1) * n) / count)]);
}

/** Positions of the tiles of some images as rows of one channel block: [extent^2, tiles, C / B] from the padded image. */
function tilePlaces(
  { channels, rows, columns }: Tiling,
  [start, end]: Range,
  block: number,
  extent: number,
  offset: number,
): Int32Array {
  const [blocks, paddedHeight, paddedWidth] = [channels / block, TILE * rows + 2, TILE * columns + 2];
  const places = new Int32Array(extent * extent * (end - start) * rows * columns * blocks);
  let at = 0;
  for (let dy = 0; dy < extent; dy++) {
    for (let dx = 0; dx < extent; dx++) {
      for (let image = start; image < end; image++) {
        for (let tile = 0; tile < rows * columns; tile++) {
          const y = Math.floor(tile / columns) * TILE + dy + offset;
          const x = (tile % columns) * TILE + dx + offset;
          for (let b = 0; b < blocks; b++) places[at++] = ((image * blocks + b) * paddedHeight + y) * paddedWidth + x;
        }
      }
    }
  }
  return places;
}

/** Tiles of some images times a transform: [rows of the matrix, tiles, C]. */
function transformedTiles(
  image: Value,
  range: Range,
  lowering: Lowering,
  matrix: Float32Array,
  extent: number,
  offset: number,
): string {
  const { writer, block } = lowering;
  const tiling = tilingOf(image);
  const tiles = (range[1] - range[0]) * tiling.rows * tiling.columns;
  const taps = extent * extent;
  const rows = writer.reshape(padded(image, lowering), [-1, block]);
  const gathered = writer.op("Gather", [rows, writer.indices(tilePlaces(tiling, range, block, extent, offset))]);
  const flat = writer.reshape(gathered, [taps, tiles * tiling.channels]);
  const product = writer.op("MatMul", [writer.floats([matrix.length / taps, taps], matrix), flat]);
  return writer.reshape(product, [matrix.length / taps, tiles, tiling.channels]);
}

/** The 6x6 input tiles in the transformed domain, shared by the forward pass and the weight gradient. */
function inputTiles(image: Value, range: Range, lowering: Lowering): string {
  return lowering.memo(`winograd input ${lowering.id(image)} ${range}`, () =>
    transformedTiles(image, range, lowering, square(inputTransform), 6, 0),
  );
}

/** Products [36, tiles, C] of some images back to a blocked image. */
function assemble(
  products: string,
  { channels, height, width, rows, columns }: Tiling,
  [start, end]: Range,
  lowering: Lowering,
): string {
  const { writer, block } = lowering;
  const n = end - start;
  const blocks = channels / block;
  const back = writer.op("MatMul", [
    writer.floats([TILE * TILE, 36], square(outputTransform)),
    writer.reshape(products, [36, n * rows * columns * channels]),
  ]);
  const places = new Int32Array(n * blocks * height * width);
  let at = 0;
  for (let image = 0; image < n; image++) {
    for (let b = 0; b < blocks; b++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const inTile = (y % TILE) * TILE + (x % TILE);
          const tile = Math.floor(y / TILE) * columns + Math.floor(x / TILE);
          places[at++] = ((inTile * n + image) * rows * columns + tile) * blocks + b;
        }
      }
    }
  }
  const picked = writer.op("Gather", [writer.reshape(back, [-1, block]), writer.indices(places)]);
  return writer.reshape(picked, [n, channels, height, width]);
}

function transformedFilters(w: Value, filters: string, lowering: Lowering, matrix: Float32Array): string {
  const { writer } = lowering;
  const [o, i] = w.shape as [number, number];
  const product = writer.op("MatMul", [writer.floats([36, 9], matrix), filters]);
  return writer.reshape(product, [36, i, o]);
}

/** Image times filters in the transformed domain, chunk by chunk: an image of `channels` channels. */
function convolve(image: Value, channels: number, lowering: Lowering, multiply: (tiles: string) => string): string {
  const tiling = { ...tilingOf(image), channels };
  const parts = chunksOf(image, Math.max(channels, image.shape[1]!)).map((range) =>
    assemble(multiply(inputTiles(image, range, lowering)), tiling, range, lowering),
  );
  return parts.length === 1 ? parts[0]! : lowering.writer.op("Concat", parts, { axis: 0 });
}

export function winogradConvolution(x: Value, w: Value, lowering: Lowering): string {
  const filters = transformedFilters(w, lowering.filter(w, "winograd"), lowering, square(filterTransform));
  return convolve(x, w.shape[0]!, lowering, (tiles) => lowering.writer.op("MatMul", [tiles, filters]));
}

/** `weights`: those of w in their form, times the factor of dy. */
export function winogradInputGrad(dy: Value, w: Value, weights: string, lowering: Lowering): string {
  const filters = transformedFilters(w, weights, lowering, square(reversedColumns(filterTransform)));
  return convolve(dy, w.shape[1]!, lowering, (tiles) =>
    lowering.writer.op("FusedMatMul", [tiles, filters], { transB: 1 }, { domain: "com.microsoft" }),
  );
}

/** Without the factor of dy. */
export function winogradWeightGrad(x: Value, dy: Value, lowering: Lowering): string {
  const { writer } = lowering;
  const [i, o] = [x.shape[1]!, dy.shape[1]!];
  const parts = chunksOf(x, Math.max(i, o)).map((range) => {
    const spread = transformedTiles(dy, range, lowering, square(transposed(outputTransform)), TILE, 1);
    return writer.op(
      "FusedMatMul",
      [inputTiles(x, range, lowering), spread],
      { transA: 1 },
      { domain: "com.microsoft" },
    );
  });
  const products = parts.length === 1 ? parts[0]! : writer.op("Sum", parts);
  const flat = writer.reshape(products, [36, i * o]);
  return writer.op("MatMul", [writer.floats([9, 36], square(transposed(filterTransform))), flat]);
}
