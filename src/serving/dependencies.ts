import type { Actor } from "../http/access/guard.ts";
import type { AccessPolicy } from "../http/access/policy.ts";
import type { Bundle } from "../inference/bundle.ts";
import type { Logger } from "../observability/logger.ts";
import type { ServiceMetrics } from "../observability/metrics.ts";
import type { SystemMonitor } from "../observability/system.ts";
import type { ModelRepository } from "./model-repository.ts";
import type { ServedDrift } from "./served-drift.ts";

/** Limits of one server; all have defaults. */
export interface ServingLimits {
  /** Bytes of one uploaded image; default 10 MiB. */
  readonly maxUploadBytes?: number;
  /** Width times height of an uploaded image; default 40 million. */
  readonly maxPixels?: number;
  /** Images in one request; default 64. */
  readonly maxImagesPerRequest?: number;
  /** Prediction requests that may be read, decoded and computed at once; default 512. */
  readonly maxRequestsInFlight?: number;
  /** Bytes of all their bodies together; default 256 MiB. */
  readonly maxBytesInFlight?: number;
  /** From the arrival of a whole prediction request to its answer; a client may ask for less. Default 30 s. */
  readonly predictTimeoutMs?: number;
  /** For a client to send the headers of a request; default 10 s. */
  readonly headersTimeoutMs?: number;
  /** A body of which nothing arrives for this long is given up; default 15 s. */
  readonly uploadIdleTimeoutMs?: number;
  /** Once a body has taken that long, it must have come at this rate on average; default 1024. */
  readonly uploadMinBytesPerSecond?: number;
  /** Socket without any traffic; default 60 s. */
  readonly connectionTimeoutMs?: number;
  /** Open connections; default 1024. */
  readonly maxConnections?: number;
}

export const defaultServingLimits = {
  maxUploadBytes: 10 * 1024 * 1024,
  maxPixels: 40_000_000,
  maxImagesPerRequest: 64,
  maxRequestsInFlight: 512,
  maxBytesInFlight: 256 * 1024 * 1024,
  predictTimeoutMs: 30_000,
  headersTimeoutMs: 10_000,
  uploadIdleTimeoutMs: 15_000,
  uploadMinBytesPerSecond: 1024,
  connectionTimeoutMs: 60_000,
  maxConnections: 1024,
} as const satisfies Required<ServingLimits>;

export type JsonObject = Readonly<Record<string, unknown>>;

/** One thing that was looked at, and how it was found. */
export interface AlertCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
}

export interface AlertTest {
  readonly ok: boolean;
  readonly message: string;
  readonly checks: readonly AlertCheck[];
}

/** E-mail addresses for all severities, or by severity. */
export type AlertRecipients = readonly string[] | Readonly<Record<string, readonly string[]>>;

/** By name, for example cpu_threshold: 85. */
export type AlertThresholds = Readonly<Record<string, number>>;

/** Behind /alerts/*: validates, applies, and tells the truth afterwards. Throws PipelineError. */
export interface AlertsService {
  config(): Promise<JsonObject>;
  setRecipients(recipients: AlertRecipients, actor: Actor): Promise<JsonObject>;
  setThresholds(thresholds: AlertThresholds, actor: Actor): Promise<JsonObject>;
  /** Looks at configuration and reachability without sending anything. */
  check(): Promise<AlertTest>;
  /** Sends a test alert. */
  sendTest(actor: Actor): Promise<AlertTest>;
  /** Alerts that fire now, for the dashboard. */
  active(): Promise<readonly ActiveAlert[]>;
}

export interface ActiveAlert {
  readonly name: string;
  readonly severity: string;
  readonly summary: string;
  /** ISO time. */
  readonly since: string;
}

/** Behind /logs/stats. */
export interface LogsService {
  stats(): Promise<JsonObject>;
}

/** Links to other parts of the stack, for the page; left out where there is none. */
export interface ServiceLinks {
  readonly tracking?: string | undefined;
  readonly grafana?: string | undefined;
}

/** Everything that the app uses, injected: tests pass their own. */
export interface AppDependencies {
  readonly models: ModelRepository;
  readonly metrics: ServiceMetrics;
  readonly system: SystemMonitor;
  readonly logger: Logger;
  readonly version: string;
  readonly limits?: ServingLimits;
  readonly access?: AccessPolicy;
  readonly links?: ServiceLinks;
  /** Without it, drift is not looked for. */
  readonly drift?: ServedDrift | undefined;
  /** Without it, /alerts/* answers NOT_CONFIGURED. */
  readonly alerts?: AlertsService | undefined;
  /** Without it, /logs/stats answers NOT_CONFIGURED. */
  readonly logs?: LogsService | undefined;
  /** False while the server drains; default: always true. */
  readonly accepting?: () => boolean;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** AppDependencies with the defaults filled in: what routes get. */
export type RouteContext = Omit<AppDependencies, "limits" | "access" | "links" | "accepting" | "now"> & {
  readonly limits: Required<ServingLimits>;
  readonly access: AccessPolicy;
  readonly links: ServiceLinks;
  readonly accepting: () => boolean;
  readonly now: () => number;
};

/** For answers and pages of a model trained on the generated data set. */
export function syntheticFields(metadata: Bundle["metadata"]): { synthetic_data: boolean; notice?: string } {
  if (!metadata.dataset.synthetic) return { synthetic_data: false };
  return {
    synthetic_data: true,
    notice:
      "This model was trained on synthetic (generated) drawings, not on photographs: its answers to real images mean nothing.",
  };
}
