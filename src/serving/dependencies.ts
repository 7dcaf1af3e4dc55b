import type { Bundle, BundleListing } from "../inference/bundle.ts";
import type { Classification } from "../inference/classifier.ts";
import type { Logger } from "../observability/logger.ts";
import type { ServiceMetrics } from "../observability/metrics.ts";
import type { SystemMonitor } from "../observability/system.ts";

/** Limits of one server; all have defaults. */
export interface ServingLimits {
  /** Bytes of one uploaded image; default 10 MiB. */
  readonly maxUploadBytes?: number;
  /** Width times height of an uploaded image; default 40 million. */
  readonly maxPixels?: number;
  /** From the arrival of a prediction request to its answer; default 30 s. */
  readonly predictTimeoutMs?: number;
  /** For a client to send its whole request; default 30 s. */
  readonly requestTimeoutMs?: number;
  /** Socket without any traffic; default 60 s. */
  readonly connectionTimeoutMs?: number;
  /** Open connections; default 1024. */
  readonly maxConnections?: number;
}

export const defaultServingLimits = {
  maxUploadBytes: 10 * 1024 * 1024,
  maxPixels: 40_000_000,
  predictTimeoutMs: 30_000,
  requestTimeoutMs: 30_000,
  connectionTimeoutMs: 60_000,
  maxConnections: 1024,
} as const satisfies Required<ServingLimits>;

/** What the app needs of a classifier. */
export interface ImageClassifier {
  readonly waiting: number;
  classify(bytes: Uint8Array, signal?: AbortSignal): Promise<Classification>;
}

/** Everything that the app uses, injected: tests pass their own. */
export interface AppDependencies {
  readonly bundle: Pick<Bundle, "directory" | "metadata">;
  readonly classifier: ImageClassifier;
  readonly listModels: () => Promise<BundleListing>;
  readonly metrics: ServiceMetrics;
  readonly system: SystemMonitor;
  readonly logger: Logger;
  readonly version: string;
  readonly limits?: ServingLimits;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** AppDependencies with the defaults filled in: what routes get. */
export type RouteContext = Required<Omit<AppDependencies, "limits">> & { readonly limits: Required<ServingLimits> };

/** For answers and pages of a model trained on the generated data set. */
export function syntheticFields(metadata: Bundle["metadata"]): { synthetic_data: boolean; notice?: string } {
  if (!metadata.dataset.synthetic) return { synthetic_data: false };
  return {
    synthetic_data: true,
    notice:
      "This model was trained on synthetic (generated) drawings, not on photographs: its answers to real images mean nothing.",
  };
}
