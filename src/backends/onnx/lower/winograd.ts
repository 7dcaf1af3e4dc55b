import type { Value } from "../../../graph/value.ts";
import type { Lowering } from "../lowering.ts";
import { affine, nchwc } from "./blocked-affine.ts";
import { exchangedBlocks, positionsAsChannels } from "./exchange.ts";

/**
 * Winograd F(4x4, 3x3) convolution (Lavin and Gray, 2016) out of gathers, matrix products and 1x1 convolutions: tiles of
 * 6x6 inputs are transformed by one product with the Kronecker square of B^T, multiplied by the transformed filters (36
 * products, the groups of one 1x1 convolution over all tiles), and transformed back by the Kronecker square of A^T.
 * Weights lie tap by tap, each tap as the filters of a 1x1 convolution.
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

/** Whole blocks of images, so that the number of tiles is a multiple of the block too. */
function chunksOf(x: Value, channels: number, block: number): Range[] {
  const { n, rows, columns } = tilingOf(x);
  const perBlock = 36 * rows * columns * channels * 4 * block;
  const blocks = n / block;
  const count = Math.max(1, Math.min(blocks, Math.round((blocks * perBlock) / CHUNK_BYTES)));
  const start = (i: number): number => Math.floor((i * blocks) / count) * block;
  return Array.from({ length: count }, (_, i) => [start(i), start(i + 1)]);
}

/** Positions of the tiles of some images as rows of one channel block: [extent^2, C / B, tiles] from the padded image. */
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
      for (let b = 0; b < blocks; b++) {
        for (let image = start; image < end; image++) {
          for (let tile = 0; tile < rows * columns; tile++) {
            const y = Math.floor(tile / columns) * TILE + dy + offset;
            const x = (tile % columns) * TILE + dx + offset;
            places[at++] = ((image * blocks + b) * paddedHeight + y) * paddedWidth + x;
          }
        }
      }
    }
  }
  return places;
}

/** Tiles of some images times a transform, as one blocked image: [1, rows of the matrix * C, tiles, 1]. */
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
  return writer.reshape(product, [1, (matrix.length / taps) * tiling.channels, tiles, 1]);
}

/** The 6x6 input tiles in the transformed domain, shared by the forward pass and the weight gradient. */
function inputTiles(image: Value, range: Range, lowering: Lowering): string {
  return lowering.memo(`winograd input ${lowering.id(image)} ${range}`, () =>
    transformedTiles(image, range, lowering, square(inputTransform), 6, 0),
  );
}

/** Products [1, 36 * C, tiles, 1] of some images back to a blocked image. */
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
          places[at++] = ((inTile * blocks + b) * n + image) * rows * columns + tile;
        }
      }
    }
  }
  const picked = writer.op("Gather", [writer.reshape(back, [-1, block]), writer.indices(places)]);
  return writer.reshape(picked, [n, channels, height, width]);
}

/** 36 products over all tiles: the filters [36 groups of O x I] over the tiles [1, 36 * I, tiles, 1]. */
function multiply(tiles: string, filters: string, lowering: Lowering): string {
  return lowering.writer.op("Conv", [tiles, filters], { kernel_shape: [1, 1], group: 36 }, nchwc);
}

/** `filters`: O x I filters in the form of this file. */
function transformedFilters(
  filters: string,
  [o, i]: readonly [number, number],
  lowering: Lowering,
  matrix: Float32Array,
): string {
  const { writer } = lowering;
  const product = writer.op("MatMul", [writer.floats([36, 9], matrix), filters]);
  return writer.reshape(product, [36 * o, i, 1, 1]);
}

/** Image times filters in the transformed domain, chunk by chunk: an image of `channels` channels. */
function convolve(image: Value, channels: number, filters: string, lowering: Lowering): string {
  const tiling = { ...tilingOf(image), channels };
  const parts = chunksOf(image, Math.max(channels, image.shape[1]!), lowering.block).map((range) =>
    assemble(multiply(inputTiles(image, range, lowering), filters, lowering), tiling, range, lowering),
  );
  return parts.length === 1 ? parts[0]! : lowering.writer.op("Concat", parts, { axis: 0 });
}

export function winogradConvolution(x: Value, w: Value, lowering: Lowering): string {
  const [o, i] = w.shape as [number, number];
  const filters = transformedFilters(lowering.filter(w, "winograd"), [o, i], lowering, square(filterTransform));
  return convolve(x, o, filters, lowering);
}

/** `weights`: those of w in their form, times the factor of dy. */
export function winogradInputGrad(dy: Value, w: Value, weights: string, lowering: Lowering): string {
  const [o, i] = w.shape as [number, number];
  const exchanged = lowering.writer.reshape(exchangedBlocks(lowering, weights, [9, o, i]), [9, i * o]);
  const flipped = square(reversedColumns(filterTransform));
  return convolve(dy, i, transformedFilters(exchanged, [i, o], lowering, flipped), lowering);
}

/** Without the factor of dy. */
export function winogradWeightGrad(x: Value, dy: Value, lowering: Lowering): string {
  const { writer, block } = lowering;
  const [i, o] = [x.shape[1]!, dy.shape[1]!];
  const parts = chunksOf(x, Math.max(i, o), block).map((range) => {
    const spread = transformedTiles(dy, range, lowering, square(transposed(outputTransform)), TILE, 1);
    const tiles = (range[1] - range[0]) * tilingOf(x).rows * tilingOf(x).columns;
    const images = positionsAsChannels(lowering, inputTiles(x, range, lowering), {
      groups: 36,
      channels: i,
      positions: tiles,
    });
    return multiply(images, writer.reshape(spread, [36 * o, tiles, 1, 1]), lowering);
  });
  const products = parts.length === 1 ? parts[0]! : writer.op("Sum", parts);
  const flat = writer.reshape(products, [36, i * o]);
  return writer.op("MatMul", [writer.floats([9, 36], square(transposed(filterTransform))), flat]);
}
