/**
 * Test-time augmentation. "mirror": mean of the logits of the image and its mirror image. "mirror_shift": half of that
 * plus half of the same for the image moved by one pixel up-left and down-right, reflected at the border (airbench).
 */
export type TestTimeAugmentation = "none" | "mirror" | "mirror_shift";

export interface View {
  readonly weight: number;
  /** Bytes [N, 3, height, width] to as many. */
  readonly view: (images: Uint8Array) => Uint8Array;
}

/** The weights add up to 1. */
export function viewsOf(tta: TestTimeAugmentation, height: number, width: number): View[] {
  const moved = (dy: number, dx: number, side: "as is" | "mirrored") => (images: Uint8Array) =>
    move(images, { height, width, dy, dx, side });
  const both = (dy: number, dx: number, weight: number): View[] => [
    { weight, view: moved(dy, dx, "as is") },
    { weight, view: moved(dy, dx, "mirrored") },
  ];
  switch (tta) {
    case "none":
      return [{ weight: 1, view: (images) => images }];
    case "mirror":
      return both(0, 0, 1 / 2);
    case "mirror_shift":
      return [...both(0, 0, 1 / 4), ...both(-1, -1, 1 / 8), ...both(1, 1, 1 / 8)];
    default:
      return tta satisfies never;
  }
}

interface Move {
  readonly height: number;
  readonly width: number;
  readonly dy: number;
  readonly dx: number;
  readonly side: "as is" | "mirrored";
}

/** out[y][x] = in[y + dy][x + dx], reflected at the border (the edge is not repeated), then mirrored left to right. */
function move(images: Uint8Array, { height, width, dy, dx, side }: Move): Uint8Array {
  const reflect = (at: number, size: number): number =>
    size === 1 ? 0 : at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at;
  const columns = Int32Array.from({ length: width }, (_, x) =>
    reflect((side === "mirrored" ? width - 1 - x : x) + dx, width),
  );
  const rows = Int32Array.from({ length: height }, (_, y) => reflect(y + dy, height));
  const out = new Uint8Array(images.length);
  for (let plane = 0; plane < images.length; plane += height * width) {
    for (let y = 0; y < height; y++) {
      const from = plane + rows[y]! * width;
      const to = plane + y * width;
      for (let x = 0; x < width; x++) out[to + x] = images[from + columns[x]!]!;
    }
  }
  return out;
}
