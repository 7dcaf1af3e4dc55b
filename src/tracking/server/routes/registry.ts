import { z } from "zod";
import { isPipelineError } from "../../../base/errors.ts";
import { invalid } from "../../validation.ts";
import { flag, int, list, requiredText, tag, tags, text } from "../request.ts";
import { type ApiContext, type ApiRoute, route } from "../route.ts";
import { filled, wireModelVersion, wireRegisteredModel } from "../wire.ts";

const byName = z.object({ name: requiredText });
const byVersion = z.object({
  name: requiredText,
  version: z.union([requiredText, z.number().int().transform(String)]),
});

const search = z.object({
  filter: text.default(""),
  max_results: int.optional(),
  order_by: list(text).default([]),
  page_token: text.optional(),
});

const toSearch = ({ filter, max_results, order_by, page_token }: z.output<typeof search>) => ({
  filter,
  orderBy: order_by,
  ...(max_results === undefined ? {} : { maxResults: max_results }),
  ...(page_token === undefined ? {} : { pageToken: page_token }),
});

const latestVersions: ApiRoute = route(
  "POST registered-models/get-latest-versions",
  byName.extend({ stages: list(text).default([]) }),
  async ({ name, stages }, { store }) => ({
    model_versions: filled((await store.getLatestVersions(name, stages)).map(wireModelVersion)),
  }),
);

export const registryRoutes: readonly ApiRoute[] = [
  route(
    "POST registered-models/create",
    byName.extend({ description: text.default(""), tags }),
    async ({ name, description, tags: given }, { store }) => ({
      registered_model: wireRegisteredModel(await store.createRegisteredModel(name, { description, tags: given })),
    }),
  ),
  route("GET registered-models/get", byName, async ({ name }, { store }) => ({
    registered_model: wireRegisteredModel(await store.getRegisteredModel(name)),
  })),
  route("POST registered-models/rename", byName.extend({ new_name: requiredText }), async (input, { store }) => ({
    registered_model: wireRegisteredModel(await store.renameRegisteredModel(input.name, input.new_name)),
  })),
  route(
    "PATCH registered-models/update",
    byName.extend({ description: text.default("") }),
    async (input, { store }) => ({
      registered_model: wireRegisteredModel(await store.updateRegisteredModel(input.name, input.description)),
    }),
  ),
  route("DELETE registered-models/delete", byName, async ({ name }, { store }) => {
    await store.deleteRegisteredModel(name);
    return {};
  }),
  route("GET registered-models/search", search, async (input, { store }) => {
    const page = await store.searchRegisteredModels(toSearch(input));
    return { registered_models: filled(page.items.map(wireRegisteredModel)), next_page_token: page.nextPageToken };
  }),
  latestVersions,
  { ...latestVersions, method: "GET" },
  route("POST registered-models/set-tag", byName.extend(tag.shape), async ({ name, key, value }, { store }) => {
    await store.setRegisteredModelTag(name, { key, value });
    return {};
  }),
  route(
    "DELETE registered-models/delete-tag",
    byName.extend({ key: requiredText }),
    async ({ name, key }, { store }) => {
      await store.deleteRegisteredModelTag(name, key);
      return {};
    },
  ),
  route("POST registered-models/alias", byVersion.extend({ alias: requiredText }), async (input, { store }) => {
    await store.setAlias(input.name, { alias: input.alias, version: input.version });
    return {};
  }),
  route(
    "DELETE registered-models/alias",
    byName.extend({ alias: requiredText }),
    async ({ name, alias }, { store }) => {
      await store.deleteAlias(name, alias);
      return {};
    },
  ),
  route("GET registered-models/alias", byName.extend({ alias: requiredText }), async ({ name, alias }, { store }) => ({
    model_version: wireModelVersion(await store.getModelVersionByAlias(name, alias)),
  })),
  route(
    "POST model-versions/create",
    byName.extend({
      source: requiredText,
      run_id: text.optional(),
      run_link: text.default(""),
      model_id: text.default(""),
      description: text.default(""),
      tags,
    }),
    async ({ name, source, run_id, run_link, model_id, description, tags: given }, context) => {
      await checkSource(source, { runId: run_id ?? "", modelId: model_id }, context);
      const version = await context.store.createModelVersion(name, {
        source,
        runLink: run_link,
        modelId: model_id,
        description,
        tags: given,
        ...(run_id === undefined || run_id === "" ? {} : { runId: run_id }),
      });
      return { model_version: wireModelVersion(version) };
    },
  ),
  route("GET model-versions/get", byVersion, async ({ name, version }, { store }) => ({
    model_version: wireModelVersion(await store.getModelVersion(name, version)),
  })),
  route(
    "PATCH model-versions/update",
    byVersion.extend({ description: text.default("") }),
    async (input, { store }) => ({
      model_version: wireModelVersion(await store.updateModelVersion(input.name, input.version, input.description)),
    }),
  ),
  route(
    "POST model-versions/transition-stage",
    byVersion.extend({ stage: requiredText, archive_existing_versions: flag.default(false) }),
    async ({ name, version, stage, archive_existing_versions }, { store }) => ({
      model_version: wireModelVersion(
        await store.transitionStage(name, version, {
          stage,
          archiveExisting: archive_existing_versions ? "yes" : "no",
        }),
      ),
    }),
  ),
  route("DELETE model-versions/delete", byVersion, async ({ name, version }, { store }) => {
    await store.deleteModelVersion(name, version);
    return {};
  }),
  route("GET model-versions/search", search, async (input, { store }) => {
    const page = await store.searchModelVersions(toSearch(input));
    return { model_versions: filled(page.items.map(wireModelVersion)), next_page_token: page.nextPageToken };
  }),
  route("GET model-versions/get-download-uri", byVersion, async ({ name, version }, { store }) => ({
    artifact_uri: await store.getDownloadUri(name, version),
  })),
  route(
    "POST model-versions/set-tag",
    byVersion.extend(tag.shape),
    async ({ name, version, key, value }, { store }) => {
      await store.setModelVersionTag(name, version, { key, value });
      return {};
    },
  ),
  route("DELETE model-versions/delete-tag", byVersion.extend({ key: requiredText }), async (input, { store }) => {
    await store.deleteModelVersionTag(input.name, input.version, input.key);
    return {};
  }),
];

/**
 * A version may not point at what its reader could not be meant to read: paths of the server, or artifacts of another
 * run or model than the one named.
 */
async function checkSource(
  source: string,
  { runId, modelId }: { readonly runId: string; readonly modelId: string },
  { store }: ApiContext,
): Promise<void> {
  const refuse = (why: string): Error =>
    invalid(`Invalid model version source: '${source.slice(0, 300)}'. ${why}`, "see the API docs");
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(source)?.[1]?.toLowerCase();
  if (scheme === undefined || scheme === "file")
    throw refuse("To use a local path as a model version source, log the model to a run and use its artifact URI");
  let decoded = source;
  for (let last = ""; last !== decoded; ) {
    last = decoded;
    try {
      decoded = decodeURIComponent(decoded);
    } catch {
      throw refuse("It is not well encoded");
    }
  }
  if (scheme !== "models" && /(^|[/\\])\.\.([/\\]|$)/.test(decoded)) throw refuse("It has relative parts");
  if (scheme !== "mlflow-artifacts") return;
  const roots: string[] = [];
  try {
    if (modelId !== "") roots.push((await store.getLoggedModel(modelId)).artifactUri);
    else if (runId !== "") roots.push((await store.getRun(runId)).info.artifactUri);
  } catch (error) {
    // A run that does not exist contains nothing: refused below.
    if (!isPipelineError(error, "TRACKING_NOT_FOUND")) throw error;
  }
  const path = (uri: string) => uri.replace(/^mlflow-artifacts:(\/\/[^/]*)?\/*/, "");
  const inside = roots.some((root) => `${path(source)}/`.startsWith(`${path(root)}/`));
  if (!inside)
    throw refuse("The run_id or model_id request parameter must identify the resource that contains the source");
}
