// node server.mjs BUNDLE LOG_FOLDER on|off PORT: the API with all its monitoring, or with metrics and logs that do nothing.

import { createLogger } from "../../dist/observability/logger.js";
import { openServiceLog } from "../../dist/observability/logs/service-log.js";
import { createServiceMetrics } from "../../dist/observability/metrics.js";
import { createProcessMetrics } from "../../dist/observability/process-metrics.js";
import { createSystemMonitor } from "../../dist/observability/system.js";
import { createApp } from "../../dist/serving/app.js";
import { ModelRepository } from "../../dist/serving/model-repository.js";
import { openModel } from "../../dist/serving/open-model.js";
import { ServedDrift } from "../../dist/serving/served-drift.js";

const [bundlePath, logFolder, mode, port] = process.argv.slice(2);
const on = mode === "on";
const nothing = () => undefined;

const system = createSystemMonitor({ diskPath: bundlePath });
const log = on ? openServiceLog({ directory: logFolder, stdout: process.stdout, stderr: process.stderr }) : undefined;
const logger = log?.logger ?? createLogger({ level: "silent" });
let models;
const drift = on ? new ServedDrift(() => models?.active.bundle.metadata) : undefined;
const metrics = on
  ? createServiceMetrics({
      system,
      queueLength: () => models?.waiting ?? 0,
      sources: [drift.source, log.source, createProcessMetrics({ version: "0.0.0" }).source],
    })
  : {
      ...{ observeRequest: nothing, observePrediction: nothing, observe: nothing },
      ...{ requestStarted: nothing, requestEnded: nothing },
      render: async () => ({ contentType: "text/plain", text: "" }),
      samples: async () => [],
    };
const open = (directory) =>
  openModel(directory, {
    ...{ maxBatchSize: 32, workers: 1, threads: 2, logger },
    imageLimits: { maxBytes: 10e6, maxPixels: 50e6 },
    onBatch: (size) => metrics.observe({ type: "batch", size }),
  });
models = new ModelRepository({
  initial: await open(bundlePath),
  open,
  list: async () => ({ bundles: [], damaged: [] }),
});
const app = await createApp({ models, metrics, system, logger, version: "0.0.0", drift });
await app.listen({ host: "127.0.0.1", port: Number(port) });
process.once("SIGTERM", async () => {
  await app.close();
  await models[Symbol.asyncDispose]();
  await log?.[Symbol.asyncDispose]();
});
