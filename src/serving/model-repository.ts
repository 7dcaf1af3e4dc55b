import { basename } from "node:path";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import type { Bundle, BundleListing } from "../inference/bundle.ts";
import type { Classification, ClassifyOptions } from "../inference/classifier.ts";
import type { FormName } from "../inference/forms/form-plan.ts";
import { identityOf, isNamed } from "../inference/model-identity.ts";
import type { ModelStatistics } from "../inference/model-statistics.ts";
import type { Readiness } from "../inference/predictor.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What the app needs of a classifier. */
export interface ImageClassifier {
  readonly readiness: Readiness;
  readonly waiting: number;
  /** How long a new image will probably wait for the model, in ms. */
  readonly expectedWaitMs: number;
  /** @param bytes an encoded image */
  classify(bytes: Uint8Array, options?: ClassifyOptions): Promise<Classification>;
  /** @param image uint8 [3, height, width] of the model's size */
  classifyImage(image: Tensor<"uint8">, options?: ClassifyOptions): Promise<Classification>;
}

/** A model that can answer. */
export interface LoadedModel {
  readonly bundle: Pick<Bundle, "directory" | "metadata">;
  readonly classifier: ImageClassifier;
  /** The forms of its network that answer. */
  readonly forms: readonly FormName[];
  readonly statistics: ModelStatistics;
}

export interface OpenedModel extends LoadedModel, AsyncDisposable {}

export interface ModelSelector {
  /** A bundle's whole name, or its name without the timestamp. */
  readonly name: string;
  readonly version?: string | undefined;
}

/** Keeps a model from being closed while a request uses it. */
export interface ModelLease extends Disposable {
  readonly model: LoadedModel;
}

/** How the attempt to load a model ended. */
export interface Reload {
  readonly outcome: "loaded" | "refused";
  readonly name: string;
  readonly error?: unknown;
  /** The request that asked for it. */
  readonly requestId?: string | undefined;
}

export interface LoadOptions {
  readonly role: "activate" | "beside";
  /** The request that asks for it: for the log. */
  readonly requestId?: string | undefined;
}

export interface ModelRepositoryOptions {
  /** Answers where no model is named. */
  readonly initial: OpenedModel;
  /** Opens a bundle and checks it. @throws when it can't serve */
  readonly open: (directory: string) => Promise<OpenedModel>;
  /** What is in the folder of models now. */
  readonly list: () => Promise<BundleListing>;
  /** Models in memory at once, those that are being replaced not counted; default 4. */
  readonly maxLoaded?: number;
  /** Whether a listing was shared or read anew. */
  readonly onListing?: (outcome: "hit" | "miss") => void;
  readonly onReload?: (reload: Reload) => void;
}

const sharedListingMs = 1000;

interface Entry {
  readonly model: OpenedModel;
  uses: number;
  onIdle: (() => void) | undefined;
}

/** The models in memory. One of them answers by default; others can be loaded beside it, and it can be replaced. */
export class ModelRepository implements AsyncDisposable {
  readonly #options: ModelRepositoryOptions;
  #entries: Entry[];
  #active: Entry;
  /** One change at a time. */
  #change: Promise<unknown> = Promise.resolve();
  readonly #retiring = new Set<Promise<void>>();
  #closed = false;
  #listing: { readonly at: number; readonly listing: Promise<BundleListing> } | undefined;

  constructor(options: ModelRepositoryOptions) {
    this.#options = options;
    this.#active = { model: options.initial, uses: 0, onIdle: undefined };
    this.#entries = [this.#active];
  }

  get active(): LoadedModel {
    return this.#active.model;
  }

  get loaded(): readonly LoadedModel[] {
    return this.#entries.map(({ model }) => model);
  }

  /** Images that wait for any of the models. */
  get waiting(): number {
    return this.#entries.reduce((sum, { model }) => sum + model.classifier.waiting, 0);
  }

  /** What is in the folder of models; calls within a moment share one reading. */
  list(): Promise<BundleListing> {
    const now = performance.now();
    const fresh = this.#listing !== undefined && now - this.#listing.at <= sharedListingMs;
    this.#options.onListing?.(fresh ? "hit" : "miss");
    if (this.#listing === undefined || !fresh) {
      const entry = { at: now, listing: this.#options.list() };
      entry.listing.catch(() => {
        // The caller sees the error; the next call tries again.
        if (this.#listing === entry) this.#listing = undefined;
      });
      this.#listing = entry;
    }
    return this.#listing.listing;
  }

  /** @throws MODEL_NOT_FOUND unless such a model is loaded; of several versions the default, else the newest answers */
  find(selector?: ModelSelector): LoadedModel {
    return this.#find(selector).model;
  }

  /** Like find, and keeps the model open until the lease is disposed. */
  lease(selector?: ModelSelector): ModelLease {
    const entry = this.#find(selector);
    entry.uses++;
    return {
      model: entry.model,
      [Symbol.dispose]() {
        entry.uses--;
        if (entry.uses === 0) entry.onIdle?.();
      },
    };
  }

  /**
   * Loads a model from the folder of models (of several versions the newest). As the default ("activate") it replaces
   * the model that answered by default until then, which finishes its requests and is closed; otherwise it answers
   * beside it, by its name. A model that can't be opened or fails its self-check changes nothing.
   * @throws MODEL_NOT_FOUND, MODEL_REFUSED
   */
  load(selector: ModelSelector, { role, requestId }: LoadOptions): Promise<LoadedModel> {
    return this.#exclusively(async () => {
      const directory = await this.#directoryOf(selector, requestId);
      const name = basename(directory);
      const previous = this.#entries.find(({ model }) => model.bundle.metadata.name === name);
      const replaced = role === "activate" ? this.#active : undefined;
      const others = this.#entries.filter((entry) => entry !== previous && entry !== replaced);
      const { maxLoaded = 4 } = this.#options;
      if (others.length >= maxLoaded) {
        throw new PipelineError("MODEL_IN_USE", `${others.length} models are loaded already`, {
          remedy: "unload one of them first",
        });
      }
      const model = await this.#open(directory, requestId);
      if (this.#closed) {
        await model[Symbol.asyncDispose]();
        throw new PipelineError("SHUTTING_DOWN", "the server is shutting down");
      }
      const entry: Entry = { model, uses: 0, onIdle: undefined };
      if (role === "activate" || previous === this.#active) this.#active = entry;
      this.#entries = [...others, entry];
      this.#listing = undefined;
      for (const old of new Set([previous, replaced])) if (old !== undefined) this.#retire(old);
      return model;
    });
  }

  /** @throws MODEL_NOT_FOUND, or MODEL_IN_USE for the model that answers by default */
  unload(selector: ModelSelector): Promise<void> {
    return this.#exclusively(async () => {
      const entry = this.#find(selector);
      if (entry === this.#active) {
        throw new PipelineError("MODEL_IN_USE", `model ${selector.name} answers by default`, {
          remedy: "load another one first: it takes its place",
        });
      }
      this.#entries = this.#entries.filter((other) => other !== entry);
      this.#retire(entry);
    });
  }

  #find(selector: ModelSelector | undefined): Entry {
    if (selector === undefined) return this.#active;
    const fitting = this.#entries.filter(({ model }) => isNamed(model.bundle.metadata.name, selector));
    if (fitting.includes(this.#active)) return this.#active;
    const [entry] = fitting.sort((a, b) => newestFirst(a.model, b.model));
    if (entry !== undefined) return entry;
    const { name, version } = selector;
    const wanted = version === undefined ? quoted(name) : `${quoted(name)} version ${quoted(version)}`;
    throw new PipelineError("MODEL_NOT_FOUND", `no model ${wanted} is loaded`, {
      remedy: `loaded: ${this.#entries.map(({ model }) => model.bundle.metadata.name).join(", ")}`,
    });
  }

  async #directoryOf(selector: ModelSelector, requestId: string | undefined): Promise<string> {
    const { bundles, damaged } = await this.#options.list();
    const bundle = bundles.find(({ metadata }) => isNamed(metadata.name, selector));
    if (bundle !== undefined) return bundle.directory;
    const broken = damaged.find(({ directory }) => isNamed(basename(directory), selector));
    if (broken !== undefined) {
      this.#options.onReload?.({ outcome: "refused", name: selector.name, error: broken.error, requestId });
      throw new PipelineError("MODEL_REFUSED", `the bundle of model ${quoted(selector.name)} is damaged`, {
        remedy: "see /models for what is wrong with it",
        cause: broken.error,
      });
    }
    throw new PipelineError("MODEL_NOT_FOUND", `there is no model ${quoted(selector.name)} in the folder of models`, {
      remedy: "see /models for those that are there",
    });
  }

  async #open(directory: string, requestId: string | undefined): Promise<OpenedModel> {
    const name = basename(directory);
    try {
      const model = await this.#options.open(directory);
      this.#options.onReload?.({ outcome: "loaded", name, requestId });
      return model;
    } catch (error) {
      this.#options.onReload?.({ outcome: "refused", name, error, requestId });
      if (isPipelineError(error, "MODEL_REFUSED")) throw error;
      throw new PipelineError("MODEL_REFUSED", `model ${name} could not be taken into service`, {
        remedy: "the log names the reason; the model that served before goes on",
        cause: error,
      });
    }
  }

  /** Closes a model once the last request that uses it is done. */
  #retire(entry: Entry): void {
    const idle =
      entry.uses === 0
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            entry.onIdle = resolve;
          });
    const closing = idle.then(() => entry.model[Symbol.asyncDispose]());
    const settled = closing.catch((error: unknown) => {
      this.#options.onReload?.({ outcome: "refused", name: entry.model.bundle.metadata.name, error });
    });
    this.#retiring.add(settled);
    void settled.then(() => this.#retiring.delete(settled));
  }

  #exclusively<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#change.then(change);
    this.#change = result.catch(() => undefined);
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#change;
    for (const entry of this.#entries) this.#retire(entry);
    await Promise.all(this.#retiring);
  }
}

function newestFirst(a: LoadedModel, b: LoadedModel): number {
  const version = ({ bundle }: LoadedModel) => identityOf(bundle.metadata.name).version;
  return version(b).localeCompare(version(a), "en", { numeric: true });
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
