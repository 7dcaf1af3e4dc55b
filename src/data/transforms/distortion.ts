import type { ImageAugmentation } from "./augmentation.ts";
import type { ImageChange } from "./image-change.ts";
import { between } from "./range.ts";
import type { Field } from "./warp.ts";

export interface GridDistortionOptions {
  /** Cells along each axis. */
  readonly steps: number;
  /** Largest relative change of a cell's size. */
  readonly limit: number;
  readonly probability: number;
}

/**
 * The lines of a regular grid move along the axes: each cell's width and height changes by a factor in 1 +- limit and
 * the whole is brought back to the image's size; linear between the lines (as Albumentations' GridDistortion).
 */
export function gridDistortion({ steps, limit, probability }: GridDistortionOptions): ImageAugmentation {
  const field: Field = { size: 2 * (steps - 1), alongAxes: true, at: linesAt };
  /** Tents at the inner lines: of x, then of y. The outer lines stay. */
  function linesAt(x: number, y: number, into: Float64Array): void {
    for (let line = 1; line < steps; line++) {
      into[line - 1] = tent(((x + 1) / 2) * steps - line);
      into[steps - 1 + line - 1] = tent(((y + 1) / 2) * steps - line);
    }
  }
  return {
    needs: ["zoom"],
    field,
    apply(change, { rng }) {
      if (rng.uniform() >= probability) return;
      const values = new Float64Array(2 * field.size);
      for (const axis of [0, 1]) {
        const cells = Array.from({ length: steps }, () => between(rng.uniform(), [1 - limit, 1 + limit]));
        const total = cells.reduce((sum, cell) => sum + cell, 0);
        let place = 0;
        for (let line = 1; line < steps; line++) {
          place += cells[line - 1]! / total;
          values[axis * field.size + axis * (steps - 1) + line - 1] = 2 * (place - line / steps);
        }
      }
      change.displacements.set(field, values);
    },
  };
}

function tent(distance: number): number {
  return Math.max(0, 1 - Math.abs(distance));
}

export interface ElasticOptions {
  /** Cells of the control grid along each axis: more are rougher. */
  readonly cells: number;
  /** Standard deviation of the control points, as a share of the image's size. */
  readonly strength: number;
  readonly probability: number;
}

/**
 * Smooth random displacements (Simard et al. 2003), as a uniform cubic B-spline over a grid of normal numbers instead of
 * a blurred field of one number a pixel: as smooth, and all that is drawn is (cells + 3)^2 pairs of numbers.
 */
export function elastic({ cells, strength, probability }: ElasticOptions): ImageAugmentation {
  const points = cells + 3;
  const weights = [new Float64Array(points), new Float64Array(points)] as const;
  const field: Field = {
    size: points * points,
    alongAxes: false,
    at(x, y, into) {
      splineWeights(((x + 1) / 2) * cells, weights[0]);
      splineWeights(((y + 1) / 2) * cells, weights[1]);
      for (let i = 0; i < field.size; i++) into[i] = weights[1][Math.floor(i / points)]! * weights[0][i % points]!;
    },
  };
  return {
    needs: ["turn"],
    field,
    apply(change: ImageChange, { rng }) {
      if (rng.uniform() >= probability) return;
      change.displacements.set(
        field,
        Float64Array.from({ length: 2 * field.size }, () => 2 * strength * rng.normal()),
      );
    },
  };
}

/** Uniform cubic B-spline: four weights, from the control point before the cell of `place`. */
function splineWeights(place: number, into: Float64Array): void {
  into.fill(0);
  const cell = Math.min(Math.max(Math.floor(place), 0), into.length - 4);
  const t = place - cell;
  const u = 1 - t;
  into[cell] = (u * u * u) / 6;
  into[cell + 1] = (3 * t * t * t - 6 * t * t + 4) / 6;
  into[cell + 2] = (3 * u * u * u - 6 * u * u + 4) / 6;
  into[cell + 3] = (t * t * t) / 6;
}
