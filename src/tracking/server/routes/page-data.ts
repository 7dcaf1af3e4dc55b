import { z } from "zod";
import { int, list, requiredText, text } from "../request.ts";
import { type ApiRoute, route } from "../route.ts";

/**
 * What MLflow's API lacks and the page wants: the best and worst value that each metric ever had, curves without lost
 * peaks, and what happened to the versions of a model.
 */
export const pageDataRoutes: readonly ApiRoute[] = [
  route("POST metrics/get-ranges", z.object({ run_ids: list(text) }), async ({ run_ids }, { store }) => ({
    ranges: (await store.getMetricRanges(run_ids)).map(({ runId, key, min, max }) => ({
      run_id: runId,
      key,
      min,
      max,
    })),
  })),
  route(
    "GET metrics/get-curves",
    z.object({
      run_ids: list(text).refine((ids) => ids.length > 0 && ids.length <= 100, "must name 1 to 100 runs"),
      metric_key: requiredText,
      max_points: int.refine((count) => count >= 4 && count <= 5000, "must be between 4 and 5000").default(1000),
      start_step: int.optional(),
      end_step: int.optional(),
    }),
    async ({ run_ids, metric_key, max_points, start_step, end_step }, { store }) => {
      const points = await store.getMetricCurves({
        runIds: run_ids,
        key: metric_key,
        maxPoints: max_points,
        ...(start_step === undefined || end_step === undefined ? {} : { steps: { from: start_step, to: end_step } }),
      });
      return {
        metrics: points.map(({ runId, step, timestamp, value }) => ({
          ...{ run_id: runId, step, timestamp },
          value: Number.isFinite(value) ? value : String(value),
        })),
      };
    },
  ),
  route("GET registered-models/get-history", z.object({ name: requiredText }), async ({ name }, { store }) => ({
    events: await store.getModelHistory(name),
  })),
];
