import type { Page } from "./page.ts";
import type { Tag } from "./types.ts";

export const modelStages = ["None", "Staging", "Production", "Archived"] as const;
export type ModelStage = (typeof modelStages)[number];

export interface ModelAlias {
  readonly alias: string;
  readonly version: string;
}

export interface ModelVersion {
  readonly name: string;
  /** Whole numbers from 1, as text. */
  readonly version: string;
  readonly creationTime: number;
  readonly lastUpdateTime: number;
  readonly description: string;
  readonly stage: ModelStage;
  /** URI of the model's artifacts. */
  readonly source: string;
  readonly runId: string;
  readonly runLink: string;
  readonly modelId: string;
  readonly tags: readonly Tag[];
  readonly aliases: readonly string[];
}

export interface RegisteredModel {
  readonly name: string;
  readonly creationTime: number;
  readonly lastUpdateTime: number;
  readonly description: string;
  readonly tags: readonly Tag[];
  readonly aliases: readonly ModelAlias[];
  /** The newest version of each stage. */
  readonly latestVersions: readonly ModelVersion[];
}

/** What happened to a version of a model. */
export interface ModelEvent {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly version: string;
  readonly kind: "created" | "stage" | "alias set" | "alias removed" | "deleted";
  /** The stage or the alias. */
  readonly value: string;
}

export interface ModelVersionInit {
  readonly source: string;
  readonly runId?: string;
  readonly runLink?: string;
  readonly modelId?: string;
  readonly description?: string;
  readonly tags?: readonly Tag[];
}

/** Filters and orders are in MLflow's grammar. */
export interface RegistrySearch {
  readonly filter?: string;
  readonly orderBy?: readonly string[];
  readonly maxResults?: number;
  readonly pageToken?: string;
}

/** Names of models, their versions, and the aliases that say which version serves what. */
export interface ModelRegistry {
  /** @throws TRACKING_EXISTS when the name is taken */
  createRegisteredModel(
    name: string,
    init?: { readonly description?: string; readonly tags?: readonly Tag[] },
  ): Promise<RegisteredModel>;
  getRegisteredModel(name: string): Promise<RegisteredModel>;
  /** @throws TRACKING_EXISTS when the new name is taken */
  renameRegisteredModel(name: string, newName: string): Promise<RegisteredModel>;
  updateRegisteredModel(name: string, description: string): Promise<RegisteredModel>;
  deleteRegisteredModel(name: string): Promise<void>;
  searchRegisteredModels(search?: RegistrySearch): Promise<Page<RegisteredModel>>;
  setRegisteredModelTag(name: string, tag: Tag): Promise<void>;
  /** A tag that is not there is fine. */
  deleteRegisteredModelTag(name: string, key: string): Promise<void>;
  setAlias(name: string, alias: ModelAlias): Promise<void>;
  /** An alias that is not there is fine. */
  deleteAlias(name: string, alias: string): Promise<void>;
  getModelVersionByAlias(name: string, alias: string): Promise<ModelVersion>;
  /** The newest version of each of the stages, all of them by default. */
  getLatestVersions(name: string, stages?: readonly string[]): Promise<readonly ModelVersion[]>;

  createModelVersion(name: string, init: ModelVersionInit): Promise<ModelVersion>;
  getModelVersion(name: string, version: string): Promise<ModelVersion>;
  updateModelVersion(name: string, version: string, description: string): Promise<ModelVersion>;
  transitionStage(
    name: string,
    version: string,
    change: { readonly stage: string; readonly archiveExisting: "yes" | "no" },
  ): Promise<ModelVersion>;
  deleteModelVersion(name: string, version: string): Promise<void>;
  getDownloadUri(name: string, version: string): Promise<string>;
  searchModelVersions(search?: RegistrySearch): Promise<Page<ModelVersion>>;
  setModelVersionTag(name: string, version: string, tag: Tag): Promise<void>;
  deleteModelVersionTag(name: string, version: string, key: string): Promise<void>;
}
