import { Agent, request } from "node:http";
import { quantile } from "../harness/statistics.mjs";

const boundary = "benchmark-boundary";

export const uploadType = `multipart/form-data; boundary=${boundary}`;

/** The body of an upload, made once; LitServe wants the form field "request". */
export function uploadBody(file, name, field = "file") {
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="${field}"; filename="${name}"\r\nContent-Type: application/octet-stream\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), file, Buffer.from(`\r\n--${boundary}--\r\n`)]);
}

/** One upload. @returns its status, body and milliseconds */
export function upload(url, body, agent) {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const headers = { "content-type": uploadType, "content-length": body.length };
    const call = request(`${url}/predict`, { method: "POST", headers, agent }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const ms = performance.now() - started;
        resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString(), ms });
      });
    });
    call.on("error", reject);
    call.end(body);
  });
}

/** Closed loop: so many clients, each asks again as soon as it has its answer. */
export async function closedLoop(url, body, { connections, seconds }) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const latencies = [];
  const began = performance.now();
  const end = began + seconds * 1000;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < end) {
        const { status, ms, body: text } = await upload(url, body, agent);
        if (status !== 200) throw new Error(`status ${status}: ${text.slice(0, 200)}`);
        latencies.push(ms);
      }
    }),
  );
  const took = (performance.now() - began) / 1000;
  agent.destroy();
  return { perSecond: latencies.length / took, latencies };
}

/** Open loop: a request every so often, whatever became of the ones before; refusals are counted. */
export async function openLoop(url, body, { perSecond, seconds }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 2000 });
  const answers = [];
  const pending = [];
  const began = performance.now();
  let sent = 0;
  while (performance.now() - began < seconds * 1000) {
    const due = Math.floor(((performance.now() - began) / 1000) * perSecond);
    for (; sent < due; sent++) pending.push(upload(url, body, agent).then((answer) => answers.push(answer)));
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await Promise.all(pending);
  agent.destroy();
  const latencies = answers.filter(({ status }) => status === 200).map(({ ms }) => ms);
  const refused = answers.filter(({ status }) => status === 503).length;
  const failed = answers.length - latencies.length - refused;
  return { sent, latencies, refused, failed };
}

export function latencyFigures(latencies) {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => Number(quantile(latencies, share).toFixed(2)));
  return { p50_ms: p50, p95_ms: p95, p99_ms: p99 };
}
