import { z } from "zod";
import { list, text } from "../request.ts";
import { type ApiRoute, route } from "../route.ts";

/** What MLflow's API lacks and the page wants: the best and worst value that each metric ever had. */
export const rangeRoutes: readonly ApiRoute[] = [
  route("POST metrics/get-ranges", z.object({ run_ids: list(text) }), async ({ run_ids }, { store }) => ({
    ranges: (await store.getMetricRanges(run_ids)).map(({ runId, key, min, max }) => ({
      run_id: runId,
      key,
      min,
      max,
    })),
  })),
];
