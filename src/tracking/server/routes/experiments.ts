import { z } from "zod";
import { invalid, missing } from "../../validation.ts";
import { int, list, requiredText, tags, text, view } from "../request.ts";
import { type ApiRoute, route } from "../route.ts";
import { filled, wireExperiment } from "../wire.ts";

const byId = z.object({ experiment_id: requiredText });

const search = z.object({
  filter: text.default(""),
  view_type: view,
  max_results: int.default(1000),
  order_by: list(text).default([]),
  page_token: text.optional(),
});

const searchExperiments: ApiRoute = route("POST experiments/search", search, async (input, { store }) => {
  const page = await store.searchExperiments({
    filter: input.filter,
    view: input.view_type,
    orderBy: input.order_by,
    maxResults: input.max_results,
    ...(input.page_token === undefined ? {} : { pageToken: input.page_token }),
  });
  return { experiments: filled(page.items.map(wireExperiment)), next_page_token: page.nextPageToken };
});

export const experimentRoutes: readonly ApiRoute[] = [
  route(
    "POST experiments/create",
    z.object({ name: requiredText, artifact_location: text.default(""), tags }),
    async ({ name, artifact_location, tags: given }, { store }) => {
      if (/[#;]/.test(artifact_location))
        throw invalid("'artifact_location' URL can't include fragments or params.", "leave out # and ;");
      const location = artifact_location === "" ? {} : { artifactLocation: artifact_location };
      const { experimentId } = await store.createExperiment(name, { ...location, tags: given });
      return { experiment_id: experimentId };
    },
  ),
  searchExperiments,
  { ...searchExperiments, method: "GET" },
  route("GET experiments/get", byId, async ({ experiment_id }, { store }) => ({
    experiment: wireExperiment(await store.getExperiment(experiment_id)),
  })),
  route("GET experiments/get-by-name", z.object({ experiment_name: requiredText }), async (input, { store }) => {
    const experiment = await store.getExperimentByName(input.experiment_name);
    if (experiment === undefined) throw missing(`Could not find experiment with name '${input.experiment_name}'`);
    return { experiment: wireExperiment(experiment) };
  }),
  route("POST experiments/delete", byId, async ({ experiment_id }, { store }) => {
    await store.deleteExperiment(experiment_id);
    return {};
  }),
  route("POST experiments/restore", byId, async ({ experiment_id }, { store }) => {
    await store.restoreExperiment(experiment_id);
    return {};
  }),
  route("POST experiments/update", byId.extend({ new_name: requiredText }), async (input, { store }) => {
    await store.renameExperiment(input.experiment_id, input.new_name);
    return {};
  }),
  route(
    "POST experiments/set-experiment-tag",
    byId.extend({ key: requiredText, value: text.default("") }),
    async ({ experiment_id, key, value }, { store }) => {
      await store.setExperimentTag(experiment_id, { key, value });
      return {};
    },
  ),
  route("POST experiments/delete-experiment-tag", byId.extend({ key: requiredText }), async (input, { store }) => {
    await store.deleteExperimentTag(input.experiment_id, input.key);
    return {};
  }),
  route(
    "POST experiments/search-datasets",
    z.object({ experiment_ids: z.array(text).min(1).max(20) }),
    async ({ experiment_ids }, { store }) => {
      const found = await store.searchDatasets(experiment_ids);
      const dataset_summaries = found.map(({ experimentId, name, digest, context }) => ({
        experiment_id: experimentId,
        name,
        digest,
        context,
      }));
      return { dataset_summaries: filled(dataset_summaries) };
    },
  ),
];
