import { rotate, shear, translate } from "./affine.ts";
import type { ImageAugmentation, ImageContext, ImageNeed } from "./augmentation.ts";
import { brighten, type ColorMap, contrast, saturate } from "./color-map.ts";
import { autoContrast, equalize, posterize, solarize } from "./curves.ts";
import type { ImageChange } from "./image-change.ts";
import type { ImageSize } from "./image-size.ts";
import { sharpen } from "./kernels.ts";

/** Level from 0 to 1 and a sign that is as often -1 as 1. */
interface Strength {
  readonly level: number;
  readonly sign: number;
}

type Operation = (change: ImageChange, strength: Strength, image: ImageContext) => void;

/** Largest magnitudes; `shift` in shares of the size. */
interface Space {
  readonly shear: number;
  readonly shift: { readonly x: number; readonly y: number };
  readonly degrees: number;
  readonly factor: number;
  /** Bits that posterize takes away. */
  readonly bits: number;
}

/** The fourteen operations of the papers. Each changes the image by what it names; level 0 changes nothing. */
function operations({ shear: slope, shift, degrees, factor, bits }: Space, size: ImageSize): readonly Operation[] {
  return [
    () => {},
    (change, { level, sign }) => shear(change, size, { x: sign * level * slope, y: 0 }),
    (change, { level, sign }) => shear(change, size, { x: 0, y: sign * level * slope }),
    (change, { level, sign }) => translate(change, sign * level * shift.x, 0),
    (change, { level, sign }) => translate(change, 0, sign * level * shift.y),
    (change, { level, sign }) => rotate(change, size, sign * level * degrees),
    (change, { level, sign }) => recolored(change, brighten(change.color, 1 + sign * level * factor)),
    (change, { level, sign }) => recolored(change, saturate(change.color, 1 + sign * level * factor)),
    (change, { level, sign }) => recolored(change, contrast(change.color, 1 + sign * level * factor)),
    (change, { level, sign }) => sharpen(change, 1 + sign * level * factor),
    (change, { level }) => posterize(change, 8 - Math.round(level * bits)),
    (change, { level }) => solarize(change, 255 * (1 - level) + (level === 0 ? 1 : 0)),
    (change, _, { pixels }) => autoContrast(change, pixels),
    (change, _, { pixels }) => equalize(change, pixels),
  ];
}

const needs: readonly ImageNeed[] = ["turn", "color", "curves", "kernel"];
/** Magnitudes are multiples of 1/30. */
const bins = 30;

/** `count` operations in a row, all of one magnitude from 0 to 30 (Cubuk et al. 2019; ranges as torchvision's). */
export function randAugment({
  count,
  magnitude,
  size,
}: {
  readonly count: number;
  readonly magnitude: number;
  readonly size: ImageSize;
}): ImageAugmentation {
  const shift = { x: 150 / 331, y: 150 / 331 };
  const list = operations({ shear: 0.3, shift, degrees: 30, factor: 0.9, bits: 4 }, size);
  return {
    needs,
    apply(change, image) {
      for (let i = 0; i < count; i++) {
        const operation = list[image.rng.int(list.length)]!;
        operation(change, { level: magnitude / bins, sign: signOf(image) }, image);
      }
    },
  };
}

/** One operation of a random magnitude (Muller and Hutter 2021, the wide space; ranges as torchvision's). */
export function trivialAugment(size: ImageSize): ImageAugmentation {
  const shift = { x: 32 / size.width, y: 32 / size.height };
  const list = operations({ shear: 0.99, shift, degrees: 135, factor: 0.99, bits: 6 }, size);
  return {
    needs,
    apply(change, image) {
      const operation = list[image.rng.int(list.length)]!;
      operation(change, { level: image.rng.int(bins + 1) / bins, sign: signOf(image) }, image);
    },
  };
}

function recolored(change: ImageChange, color: ColorMap): void {
  change.color = color;
}

const signOf = ({ rng }: ImageContext): number => (rng.int(2) === 1 ? 1 : -1);
