import { z } from "zod";
import { list, requiredText, text } from "../request.ts";
import { type ApiRoute, route } from "../route.ts";

/**
 * What MLflow's API lacks and the page wants: the best and worst value that each metric ever had, and what happened to
 * the versions of a model.
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
  route("GET registered-models/get-history", z.object({ name: requiredText }), async ({ name }, { store }) => ({
    events: await store.getModelHistory(name),
  })),
];
