import { type Shape, sizeOf } from "../../../tensor/shape.ts";
import { type FilterForm, filterSources, physicalShape, roundUp } from "../layout.ts";
import type { ModelWriter } from "../model-writer.ts";

const nchwc = { domain: "com.microsoft.nchwc" } as const;

/** In-graph conversion of a weight [O, I, kh, kw] to a filter form, for weights that are computed. */
export function plainToFilter(
  writer: ModelWriter,
  name: string,
  form: FilterForm,
  shape: Shape,
  block: number,
): string {
  const [o, i, kh, kw] = shape as [number, number, number, number];
  if (form === "matrix") return writer.reshape(name, [o, i]);
  if (form === "grouped") {
    // One zero behind the weights serves as the padding.
    const flat = writer.op("Concat", [writer.reshape(name, [-1]), writer.floats([1], Float32Array.of(0))], { axis: 0 });
    const sources = filterSources(form, shape, block).map((source) => (source < 0 ? sizeOf(shape) : source));
    return writer.reshape(writer.op("Gather", [flat, writer.indices(sources)]), physicalShape(form, shape, block));
  }
  if (form === "winograd") {
    const blocks = writer.reshape(name, [o / block, block, i / block, block, kh * kw]);
    return writer.reshape(writer.transpose(blocks, [4, 0, 2, 3, 1]), [kh * kw, i * o]);
  }
  const [op, ip] = [roundUp(o, block), form === "dense" ? roundUp(i, block) : i];
  const padded =
    op === o && ip === i ? name : writer.op("Pad", [name, writer.ints([0, 0, 0, 0, op - o, ip - i, 0, 0])]);
  if (form === "dense" && kh * kw === 1) {
    const rows = writer.reshape(padded, [op / block, block, ip, 1]);
    return writer.reshape(writer.op("ReorderInput", [rows], {}, nchwc), [op, ip]);
  }
  const blocked =
    form === "dense"
      ? writer.transpose(writer.reshape(padded, [op / block, block, ip / block, block, kh, kw]), [0, 2, 4, 5, 3, 1])
      : writer.transpose(writer.reshape(padded, [op / block, block, ip, kh, kw]), [0, 2, 3, 4, 1]);
  return writer.reshape(blocked, physicalShape(form, shape, block));
}

/** The inverse of `plainToFilter`. */
export function filterToPlain(
  writer: ModelWriter,
  name: string,
  form: FilterForm,
  shape: Shape,
  block: number,
): string {
  const [o, i, kh, kw] = shape as [number, number, number, number];
  if (form === "matrix") return writer.reshape(name, shape);
  if (form === "grouped") {
    const places = new Int32Array(sizeOf(shape));
    filterSources(form, shape, block).forEach((source, place) => {
      if (source >= 0) places[source] = place;
    });
    return writer.reshape(writer.op("Gather", [writer.reshape(name, [-1]), writer.indices(places)]), shape);
  }
  if (form === "winograd") {
    const blocks = writer.reshape(name, [kh * kw, o / block, i / block, block, block]);
    return writer.reshape(writer.transpose(blocks, [1, 4, 2, 3, 0]), shape);
  }
  const [op, ip] = [roundUp(o, block), form === "dense" ? roundUp(i, block) : i];
  const plain =
    form === "dense" && kh * kw === 1
      ? writer.op("ReorderOutput", [writer.reshape(name, [op / block, block, ip, 1])], { channels: block }, nchwc)
      : form === "dense"
        ? writer.transpose(writer.reshape(name, [op / block, ip / block, kh, kw, block, block]), [0, 5, 1, 4, 2, 3])
        : writer.transpose(writer.reshape(name, [op / block, ip, kh, kw, block]), [0, 4, 1, 2, 3]);
  const whole = writer.reshape(plain, [op, ip, kh, kw]);
  if (op === o && ip === i) return whole;
  return writer.op("Slice", [whole, writer.ints([0, 0]), writer.ints([o, i]), writer.ints([0, 1])]);
}
