import { z } from "zod";
import type { ModelRegistry, RegistrySearch } from "../registry.ts";
import type { Caller } from "./caller.ts";
import { modelVersionAnswer, registeredModelAnswer } from "./wire.ts";

const oneModel = z.object({ registered_model: registeredModelAnswer });
const oneVersion = z.object({ model_version: modelVersionAnswer });
const versions = z.object({
  model_versions: z.array(modelVersionAnswer).default([]),
  next_page_token: z.string().optional(),
});

/** The model registry on any MLflow server. */
export function restRegistry(call: Caller): ModelRegistry {
  const done = async (line: Parameters<Caller>[0], json: object): Promise<void> => {
    await call(line, z.unknown(), { json });
  };
  const query = ({ filter, orderBy, maxResults, pageToken }: RegistrySearch) => ({
    filter,
    order_by: orderBy,
    max_results: maxResults,
    page_token: pageToken,
  });
  const getRegisteredModel: ModelRegistry["getRegisteredModel"] = async (name) =>
    (await call("GET registered-models/get", oneModel, { query: { name } })).registered_model;
  return {
    createRegisteredModel: async (name, { description, tags } = {}) => {
      const json = { name, description, tags };
      return (await call("POST registered-models/create", oneModel, { json, repeatable: "no" })).registered_model;
    },
    getRegisteredModel,
    renameRegisteredModel: async (name, newName) => {
      const json = { name, new_name: newName };
      await call("POST registered-models/rename", z.unknown(), { json, repeatable: "no" });
      return getRegisteredModel(newName);
    },
    updateRegisteredModel: async (name, description) => {
      await done("PATCH registered-models/update", { name, description });
      return getRegisteredModel(name);
    },
    deleteRegisteredModel: (name) => done("DELETE registered-models/delete", { name }),
    searchRegisteredModels: async (search = {}) => {
      const schema = z.object({
        registered_models: z.array(registeredModelAnswer).default([]),
        next_page_token: z.string().optional(),
      });
      const page = await call("GET registered-models/search", schema, { query: query(search) });
      return { items: page.registered_models, nextPageToken: page.next_page_token };
    },
    setRegisteredModelTag: (name, { key, value }) => done("POST registered-models/set-tag", { name, key, value }),
    deleteRegisteredModelTag: (name, key) => done("DELETE registered-models/delete-tag", { name, key }),
    setAlias: (name, { alias, version }) => done("POST registered-models/alias", { name, alias, version }),
    deleteAlias: (name, alias) => done("DELETE registered-models/alias", { name, alias }),
    getModelVersionByAlias: async (name, alias) =>
      (await call("GET registered-models/alias", oneVersion, { query: { name, alias } })).model_version,
    getLatestVersions: async (name, stages = []) =>
      (await call("POST registered-models/get-latest-versions", versions, { json: { name, stages } })).model_versions,

    createModelVersion: async (name, { source, runId, runLink, modelId, description, tags }) => {
      const json = { name, source, run_id: runId, run_link: runLink, model_id: modelId, description, tags };
      return (await call("POST model-versions/create", oneVersion, { json, repeatable: "no" })).model_version;
    },
    getModelVersion: async (name, version) =>
      (await call("GET model-versions/get", oneVersion, { query: { name, version } })).model_version,
    updateModelVersion: async (name, version, description) =>
      (await call("PATCH model-versions/update", oneVersion, { json: { name, version, description } })).model_version,
    transitionStage: async (name, version, { stage, archiveExisting }) => {
      const json = { name, version, stage, archive_existing_versions: archiveExisting === "yes" };
      return (await call("POST model-versions/transition-stage", oneVersion, { json })).model_version;
    },
    deleteModelVersion: (name, version) => done("DELETE model-versions/delete", { name, version }),
    getDownloadUri: async (name, version) =>
      (
        await call("GET model-versions/get-download-uri", z.object({ artifact_uri: z.string() }), {
          query: { name, version },
        })
      ).artifact_uri,
    searchModelVersions: async (search = {}) => {
      const page = await call("GET model-versions/search", versions, { query: query(search) });
      return { items: page.model_versions, nextPageToken: page.next_page_token };
    },
    setModelVersionTag: (name, version, { key, value }) =>
      done("POST model-versions/set-tag", { name, version, key, value }),
    deleteModelVersionTag: (name, version, key) => done("DELETE model-versions/delete-tag", { name, version, key }),
  };
}
