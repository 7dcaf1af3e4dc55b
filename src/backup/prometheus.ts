import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ignoreMissing } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";

export interface PrometheusPlace {
  readonly url: string;
  /** Its data, as this machine sees them. */
  readonly folder: string;
}

/** What Prometheus has measured up to one moment, in hard links; disposing takes it away. */
export interface Snapshot extends AsyncDisposable {
  readonly folder: string;
}

const timeoutMs = 120_000;

const answerSchema = z.object({
  status: z.string(),
  error: z.string().optional(),
  data: z.object({ name: z.string().regex(/^[\w-]+$/) }).optional(),
});

/**
 * Asks Prometheus for a snapshot.
 * @returns undefined when it does not answer
 * @throws BACKUP_FAILED when it refuses, or has its data elsewhere
 */
export async function takeSnapshot(
  { url, folder }: PrometheusPlace,
  signal?: AbortSignal,
): Promise<Snapshot | undefined> {
  const limit = AbortSignal.timeout(timeoutMs);
  const call = { method: "POST", signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) };
  const response = await fetch(new URL("/api/v1/admin/tsdb/snapshot", url), call).catch((error: unknown) => {
    if (error instanceof TypeError) return undefined;
    throw error;
  });
  if (response === undefined) return undefined;
  const text = await response.text();
  const { data, error } = answerSchema.safeParse(parsed(text)).data ?? {};
  if (data === undefined) {
    const reason = error ?? `it answers ${response.status}: ${text.slice(0, 200)}`;
    throw new PipelineError("BACKUP_FAILED", `Prometheus at ${url} makes no snapshot: ${reason}`, {
      remedy: "start it with --web.enable-admin-api, or leave it out: --without prometheus",
      details: { url },
    });
  }
  const snapshot = join(folder, "snapshots", data.name);
  if (!(await stat(snapshot).catch(ignoreMissing))?.isDirectory()) {
    throw new PipelineError("BACKUP_FAILED", `Prometheus at ${url} has made a snapshot, but ${snapshot} is not there`, {
      remedy: "name the folder of its data with --prometheus-data, or leave it out: --without prometheus",
      details: { url, path: snapshot },
    });
  }
  return {
    folder: snapshot,
    [Symbol.asyncDispose]: () => rm(snapshot, { recursive: true, force: true }),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
