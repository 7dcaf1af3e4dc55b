interface ThresholdDefinition {
  /** The alert of the rule file whose last number this is. */
  readonly alert: string;
  readonly unit: "percent" | "seconds" | "share";
  readonly min: number;
  readonly max: number;
}

/** The thresholds that can be changed while everything runs, by the name that clients use. */
export const thresholdTable = {
  cpu_threshold: { alert: "HighCPUUsage", unit: "percent", min: 0, max: 100 },
  memory_threshold: { alert: "HighMemoryUsage", unit: "percent", min: 0, max: 100 },
  disk_threshold: { alert: "LowDiskSpace", unit: "percent", min: 0, max: 100 },
  error_rate_threshold: { alert: "HighAPIErrorRate", unit: "percent", min: 0, max: 100 },
  response_time_threshold: { alert: "HighResponseTime", unit: "seconds", min: 0.001, max: 3600 },
  confidence_threshold: { alert: "LowModelConfidence", unit: "share", min: 0, max: 1 },
  queue_threshold: { alert: "QueueSaturation", unit: "percent", min: 0, max: 100 },
  feedback_accuracy_threshold: { alert: "LowFeedbackAccuracy", unit: "share", min: 0, max: 1 },
} as const satisfies Record<string, ThresholdDefinition>;

export type ThresholdName = keyof typeof thresholdTable;

export const thresholdNames = Object.keys(thresholdTable) as ThresholdName[];

export function isThresholdName(name: string): name is ThresholdName {
  return Object.hasOwn(thresholdTable, name);
}
