import { z } from "zod";
import { loggedModelStatuses } from "../../types.ts";
import { flag, int, requiredText, tag, tags, text } from "../request.ts";
import { type ApiRoute, route } from "../route.ts";
import { filled, wireFile, wireLoggedModel } from "../wire.ts";

const byId = z.object({ model_id: requiredText });

/** Named, or numbered from 1. */
const status = z.union([
  z.enum(loggedModelStatuses),
  int.refine((number) => number >= 1 && number <= loggedModelStatuses.length),
]);

const datasetFilter = z.object({ dataset_name: requiredText, dataset_digest: text.optional() });

const toDataset = ({
  dataset_name,
  dataset_digest,
}: {
  dataset_name: string;
  dataset_digest?: string | undefined;
}) => ({
  name: dataset_name,
  ...(dataset_digest === undefined || dataset_digest === "" ? {} : { digest: dataset_digest }),
});

export const loggedModelRoutes: readonly ApiRoute[] = [
  route(
    "POST logged-models",
    z.object({
      experiment_id: requiredText,
      name: text.default(""),
      model_type: text.default(""),
      source_run_id: text.default(""),
      params: z.array(tag).default([]),
      tags,
    }),
    async ({ experiment_id, name, model_type, source_run_id, params, tags: given }, { store }) => {
      const model = await store.createLoggedModel(experiment_id, {
        ...(name === "" ? {} : { name }),
        modelType: model_type,
        sourceRunId: source_run_id,
        params,
        tags: given,
      });
      return { model: wireLoggedModel(model) };
    },
  ),
  route(
    "POST logged-models/search",
    z.object({
      experiment_ids: z.array(text),
      filter: text.default(""),
      datasets: z.array(datasetFilter).default([]),
      max_results: int.default(50),
      order_by: z
        .array(
          z.object({
            field_name: requiredText,
            ascending: flag.default(true),
            dataset_name: text.optional(),
            dataset_digest: text.optional(),
          }),
        )
        .default([]),
      page_token: text.optional(),
    }),
    async (input, { store }) => {
      const page = await store.searchLoggedModels({
        experimentIds: input.experiment_ids,
        filter: input.filter,
        datasets: input.datasets.map(toDataset),
        maxResults: input.max_results === 0 ? 50 : input.max_results,
        orderBy: input.order_by.map(({ field_name, ascending, dataset_name, dataset_digest }) => ({
          field: field_name,
          direction: ascending ? "ascending" : "descending",
          ...(dataset_name === undefined ? {} : { dataset: toDataset({ dataset_name, dataset_digest }) }),
        })),
        ...(input.page_token === undefined ? {} : { pageToken: input.page_token }),
      });
      return { models: filled(page.items.map(wireLoggedModel)), next_page_token: page.nextPageToken };
    },
  ),
  route(
    "GET logged-models/:model_id",
    byId.extend({ allow_deleted: flag.default(false) }),
    async (input, { store }) => ({
      model: wireLoggedModel(
        await store.getLoggedModel(input.model_id, { view: input.allow_deleted ? "all" : "active" }),
      ),
    }),
  ),
  route("PATCH logged-models/:model_id", byId.extend({ status }), async (input, { store }) => {
    const word = typeof input.status === "number" ? loggedModelStatuses[input.status - 1]! : input.status;
    return { model: wireLoggedModel(await store.finalizeLoggedModel(input.model_id, word)) };
  }),
  route("DELETE logged-models/:model_id", byId, async ({ model_id }, { store }) => {
    await store.deleteLoggedModel(model_id);
    return {};
  }),
  route("PATCH logged-models/:model_id/tags", byId.extend({ tags }), async (input, { store }) => {
    await store.setLoggedModelTags(input.model_id, input.tags);
    return {};
  }),
  route(
    "DELETE logged-models/:model_id/tags/:tag_key",
    byId.extend({ tag_key: requiredText }),
    async (input, { store }) => {
      await store.deleteLoggedModelTag(input.model_id, input.tag_key);
      return {};
    },
  ),
  route(
    "POST logged-models/:model_id/params",
    byId.extend({ params: z.array(tag).default([]) }),
    async ({ model_id, params }, { store }) => {
      await store.logLoggedModelParams(model_id, params);
      return {};
    },
  ),
  route(
    "GET logged-models/:model_id/artifacts/directories",
    byId.extend({ artifact_directory_path: text.optional() }),
    async ({ model_id, artifact_directory_path }, { store, artifacts }) => {
      const { artifactUri } = await store.getLoggedModel(model_id);
      const files = await artifacts.list(artifactUri, artifact_directory_path);
      return { root_uri: artifactUri, files: filled(files.map(wireFile)) };
    },
  ),
];
