import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { WebSocket } from "ws";
import { z } from "zod";
import { PipelineError } from "../base/errors.ts";

export const rayStatuses = ["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"] as const;
export type RayStatus = (typeof rayStatuses)[number];

const jobSchema = z.object({ status: z.enum(rayStatuses), message: z.string().nullish() });
const nodesSchema = z.object({
  data: z.object({
    result: z.object({
      result: z.array(z.object({ state: z.string(), resources_total: z.record(z.string(), z.number()).nullish() })),
    }),
  }),
});

export interface RayJob {
  readonly status: RayStatus;
  readonly message?: string | null | undefined;
}

export interface RaySubmission {
  readonly entrypoint: string;
  readonly submission_id: string;
  readonly runtime_env: { readonly working_dir: string; readonly env_vars: Readonly<Record<string, string>> };
  readonly metadata: Readonly<Record<string, string>>;
  readonly entrypoint_num_cpus: number;
  readonly entrypoint_num_gpus: number;
}

export interface RayClientOptions {
  /** Of the dashboard, such as http://127.0.0.1:8265. */
  readonly address: string;
  /** Of a cluster with token authentication. */
  readonly token?: string | undefined;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

const timeoutMs = 30_000;

/**
 * Ray's REST API for jobs. It goes by node:http: fetch sends Sec-Fetch headers, and Ray refuses what changes something
 * when it looks as if a browser had sent it.
 */
export class RayClient {
  readonly #options: RayClientOptions;

  constructor(options: RayClientOptions) {
    this.#options = options;
  }

  /** Resources of each node that is alive. */
  async nodes(): Promise<readonly Readonly<Record<string, number>>[]> {
    const answer = await this.#call("GET", "/api/v0/nodes?limit=10000");
    const { result } = this.#parse(nodesSchema, answer).data.result;
    return result.filter(({ state }) => state === "ALIVE").map(({ resources_total: total }) => total ?? {});
  }

  async hasPackage(name: string): Promise<boolean> {
    const { status } = await this.#call("GET", `/api/packages/gcs/${name}`, { accepted: [404] });
    return status !== 404;
  }

  async upload(name: string, bytes: Uint8Array): Promise<void> {
    await this.#call("PUT", `/api/packages/gcs/${name}`, { body: bytes });
  }

  async submit(submission: RaySubmission): Promise<void> {
    await this.#call("POST", "/api/jobs/", { body: Buffer.from(JSON.stringify(submission)) });
  }

  /** @returns undefined for a job that the cluster does not know */
  async job(id: string): Promise<RayJob | undefined> {
    const answer = await this.#call("GET", `/api/jobs/${id}`, { accepted: [404] });
    return answer.status === 404 ? undefined : this.#parse(jobSchema, answer);
  }

  async stop(id: string): Promise<void> {
    await this.#call("POST", `/api/jobs/${id}/stop`, { accepted: [404] });
  }

  /** Everything that the job has printed; undefined when its node is gone. */
  async logs(id: string): Promise<string | undefined> {
    const answer = await this.#call("GET", `/api/jobs/${id}/logs`, { accepted: [404, 500] });
    return answer.status === 200 ? this.#parse(z.object({ logs: z.string() }), answer).logs : undefined;
  }

  /** Follows what the job prints, from its beginning; ends when either side ends it. */
  tail(id: string, onText: (text: string) => void, signal: AbortSignal): Promise<void> {
    const url = new URL(`/api/jobs/${id}/logs/tail`, this.#options.address);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return new Promise((resolve) => {
      // Ray's dashboard hands the offer of compression on to the node that has the log, and then nothing arrives.
      const options = { headers: this.#headers(), handshakeTimeout: timeoutMs, perMessageDeflate: false };
      const socket = new WebSocket(url, options);
      const end = (): void => {
        signal.removeEventListener("abort", end);
        socket.terminate();
        resolve();
      };
      socket.on("message", (data) => onText(data.toString()));
      socket.on("close", end);
      // A tail that breaks off is taken up again, or the job's end makes it needless.
      socket.on("error", end);
      signal.addEventListener("abort", end, { once: true });
      if (signal.aborted) end();
    });
  }

  #headers(): Record<string, string> {
    const { token } = this.#options;
    return token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  #parse<T>(schema: z.ZodType<T>, { text }: Answer): T {
    try {
      return schema.parse(JSON.parse(text));
    } catch (cause) {
      throw this.#failed(`gave an answer that is not Ray's: ${text.slice(0, 200)}`, cause);
    }
  }

  async #call(
    method: "GET" | "PUT" | "POST",
    path: string,
    { body, accepted = [] }: { readonly body?: Uint8Array; readonly accepted?: readonly number[] } = {},
  ): Promise<Answer> {
    const url = new URL(path, this.#options.address);
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const headers = {
      ...this.#headers(),
      "content-type": method === "PUT" ? "application/octet-stream" : "application/json",
      "content-length": body?.length ?? 0,
    };
    const answer = await new Promise<Answer>((resolve, reject) => {
      const outgoing = send(url, { method, headers, timeout: timeoutMs }, (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      });
      outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} seconds`)));
      outgoing.on("error", reject);
      outgoing.end(body);
    }).catch((cause: Error) => {
      throw this.#failed(`can't be reached: ${cause.message || String(cause)}`, cause);
    });
    if (answer.status === 401 || answer.status === 403) {
      throw this.#failed(`refuses ${method} ${path} (${answer.status}): ${lastLine(answer.text)}`, undefined, {
        remedy: "name the file with the cluster's token in ray_tune.ray.token_file",
      });
    }
    if (answer.status !== 200 && !accepted.includes(answer.status))
      throw this.#failed(`answered ${method} ${path} with ${answer.status}: ${lastLine(answer.text)}`);
    return answer;
  }

  #failed(what: string, cause?: unknown, { remedy }: { readonly remedy?: string } = {}): PipelineError {
    const { address } = this.#options;
    return new PipelineError("RAY_FAILED", `the Ray cluster at ${address} ${what}`, {
      remedy: remedy ?? "see whether it runs there (`ray status`), or name it with --ray-address",
      details: { address },
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)!.slice(0, 300);
}
