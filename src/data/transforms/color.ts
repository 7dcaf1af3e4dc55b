import type { ImageAugmentation } from "./augmentation.ts";
import { brighten, type ColorMap, contrast, identityMatrix, recolor, saturate, shiftHue } from "./color-map.ts";
import { between } from "./range.ts";

export interface ColorJitterOptions {
  /** Largest relative changes. */
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
  /** Largest shift, in turns. */
  readonly hue: number;
  readonly probability: number;
}

/** Brightness, contrast, saturation and hue in random order, each uniform in its range, as torchvision's ColorJitter. */
export function colorJitter(options: ColorJitterOptions): ImageAugmentation {
  const factor = (uniform: number, most: number): number => between(uniform, [Math.max(0, 1 - most), 1 + most]);
  const changes: readonly ((map: ColorMap, uniform: number) => ColorMap)[] = [
    (map, u) => brighten(map, factor(u, options.brightness)),
    (map, u) => contrast(map, factor(u, options.contrast)),
    (map, u) => saturate(map, factor(u, options.saturation)),
    (map, u) => (options.hue === 0 ? map : shiftHue(map, between(u, [-options.hue, options.hue]))),
  ];
  return {
    needs: ["color"],
    apply(change, { rng }) {
      if (rng.uniform() >= options.probability) return;
      for (const which of rng.permutation(changes.length)) {
        change.color = changes[which]!(change.color, rng.uniform());
      }
    },
  };
}

/** One channel, each as likely, becomes black. */
export function channelDropout(probability: number): ImageAugmentation {
  return {
    needs: ["color"],
    apply(change, { rng }) {
      if (rng.uniform() >= probability) return;
      const dropped = rng.int(3);
      change.color = recolor(
        change.color,
        identityMatrix.map((value, i) => (i === 4 * dropped ? 0 : value)),
      );
    },
  };
}
