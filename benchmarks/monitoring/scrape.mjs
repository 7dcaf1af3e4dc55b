// Renders the service's metrics with so many series whenever it is asked; the contestant of scrape.py.
import { createInterface } from "node:readline";
import { createServiceMetrics } from "../../dist/observability/metrics.js";
import { createSystemMonitor } from "../../dist/observability/system.js";

const { counters, histograms } = JSON.parse(process.argv[2]);
const metrics = createServiceMetrics({ system: createSystemMonitor() });
for (let i = 0; i < Math.max(counters, histograms); i++) {
  const endpoint = `/route/${i}`;
  metrics.observeRequest({ method: "GET", endpoint, status: 200, seconds: 0.01, requestId: `request-${i}` });
}
console.log(JSON.stringify({ version: process.versions.node }));
for await (const line of createInterface({ input: process.stdin })) {
  const ms = [];
  let length = 0;
  for (let step = 0; step < JSON.parse(line).steps; step++) {
    const began = performance.now();
    length = (await metrics.render()).text.length;
    ms.push(performance.now() - began);
  }
  console.log(JSON.stringify({ ms, loss: length }));
}
