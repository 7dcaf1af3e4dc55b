import type { BundleMetadata } from "../inference/bundle-metadata.ts";
import type { MetricSource } from "../observability/instruments.ts";

/** Which model answers by default, and since when. */
export function modelMetrics(active: () => BundleMetadata | undefined): MetricSource {
  let name: string | undefined;
  return ({ model_info, model_loaded_timestamp_seconds }) => {
    const metadata = active();
    if (metadata === undefined || metadata.name === name) return;
    name = metadata.name;
    // One series at a time: the served model.
    model_info.reset();
    model_info.set({ name, architecture: metadata.model.architecture, dataset: metadata.dataset.name }, 1);
    model_loaded_timestamp_seconds.set(Date.now() / 1000);
  };
}
