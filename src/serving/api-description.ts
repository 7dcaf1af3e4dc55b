import type { ApiDescription } from "../http/openapi.ts";

/** What the API's documentation says of it. */
export const apiDescription = {
  title: "CIFAR image classification",
  description:
    "Classifies images with a trained model ([upload page](/)). Errors have one shape: code, message, request_id, detail.",
  tags: [
    { name: "inference", description: "Predictions and feedback" },
    { name: "models", description: "What is served" },
    { name: "service", description: "Health" },
    { name: "monitoring", description: "Metrics and logs" },
    { name: "alerts", description: "Recipients, thresholds and tests of alerts" },
    { name: "open inference protocol", description: "Version 2, as other inference servers speak it" },
  ],
} as const satisfies Omit<ApiDescription, "version">;
