import type { BundleMetadata } from "../inference/bundle-metadata.ts";
import type { Classification } from "../inference/classifier.ts";
import { driftFeatures, quantised } from "../inference/drift-features.ts";
import { DriftMonitor, type DriftOptions } from "../observability/drift/drift-monitor.ts";
import type { MetricSource } from "../observability/instruments.ts";

/** Drift of the model that answers by default; another model begins another window. */
export class ServedDrift {
  readonly #active: () => BundleMetadata | undefined;
  readonly #options: DriftOptions;
  #name: string | undefined;
  #monitor: DriftMonitor | undefined;

  constructor(active: () => BundleMetadata | undefined, options: DriftOptions = {}) {
    this.#active = active;
    this.#options = options;
  }

  observe(model: BundleMetadata, result: Classification): void {
    this.#monitorOf(model.name)?.observe({
      index: result.index,
      confidence: result.confidence,
      probabilities: quantised(result.probabilities),
      features: driftFeatures(result.logits, result.imageStatistics),
    });
  }

  feedback(model: string, prediction: { readonly confidence: number; readonly correct: boolean }): void {
    this.#monitorOf(model)?.feedback(prediction);
  }

  readonly source: MetricSource = (instruments) => {
    const active = this.#active();
    return active === undefined ? undefined : this.#monitorOf(active.name)?.source(instruments);
  };

  #monitorOf(name: string): DriftMonitor | undefined {
    const active = this.#active();
    if (active?.name !== name) return undefined;
    if (this.#name !== name) {
      this.#name = name;
      this.#monitor = new DriftMonitor(active.reference, this.#options);
    }
    return this.#monitor;
  }
}
