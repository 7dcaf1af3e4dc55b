import { randomUUID } from "node:crypto";
import { cp, mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { replaceFile } from "../../base/durable.ts";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import type { ArtifactAccess } from "../artifacts.ts";
import { type LoggedSteps, loggedStepsOf, withoutLogged } from "../logged-steps.ts";
import { experimentNamed, type RunTarget, registerOnce } from "../run-target.ts";
import { splitBatch } from "../split-batch.ts";
import type { Batch, RunInit, RunUpdate, TrackingStore } from "../store.ts";
import type { DatasetInput } from "../types.ts";

/** What is done to a run, in the order in which it was done. Doing one twice changes nothing. */
type Operation =
  | { readonly kind: "create"; readonly experimentName: string; readonly init: RunInit; readonly id: string }
  | { readonly kind: "resume"; readonly runId?: string }
  | { readonly kind: "batch"; readonly batch: Batch }
  | { readonly kind: "update"; readonly update: RunUpdate }
  | { readonly kind: "inputs"; readonly datasets: readonly DatasetInput[] }
  | { readonly kind: "artifact"; readonly path: string; readonly file: string }
  | { readonly kind: "register"; readonly name: string; readonly aliases: readonly string[]; readonly path: string };

interface Cursor {
  /** Bytes of the operations file that the server has. */
  readonly sent: number;
  readonly runId?: string;
  readonly artifactUri?: string;
  /** What the server had when the run was resumed. */
  readonly logged?: LoggedSteps;
}

export interface OutboxOptions {
  /** Of this run alone; made when missing, removed when everything has arrived. */
  readonly directory: string;
  readonly store: TrackingStore;
  readonly artifacts: ArtifactAccess;
  /** Before another attempt at a server that is away. */
  readonly retryMs?: number;
  /** Called when the server goes away, and again when it goes away after it was back. */
  readonly onAway?: (error: unknown) => void;
  /** Called with what the server refuses for what it is; it is given up. */
  readonly onRefused?: (error: unknown) => void;
}

export interface Outbox extends RunTarget {
  /** The server's id of the run; undefined until it has taken it. */
  readonly runId: string | undefined;
  /** Waits until everything has arrived, at most so long. @returns bytes that have not */
  drain(maxMs: number): Promise<number>;
  close(): Promise<void>;
}

const operationsFile = "operations.jsonl";
const cursorFile = "cursor.json";
const filesFolder = "files";

/** The tag by which a run is found again whose creation was sent but never answered. */
const outboxTag = "cifar.outbox_id";

/**
 * Records a run on disk first and sends it to a server in the background: a server that is away, slow or restarted
 * costs neither the training its time nor the run its data. What has not arrived at the end waits for the next
 * `sendOutboxes`.
 */
export async function openOutbox(options: OutboxOptions): Promise<Outbox> {
  const { directory, retryMs = 2000, onAway, onRefused } = options;
  await mkdir(join(directory, filesFolder), { recursive: true });
  const path = join(directory, operationsFile);
  const file = await open(path, "a");
  let size = (await file.stat()).size;
  let cursor = await readCursor(directory);
  let writing: Promise<void> = Promise.resolve();
  let wake: (() => void) | undefined;
  let away = false;
  const stop = new AbortController();

  const append = (operation: Operation): Promise<void> => {
    // NaN and infinities are no JSON.
    const line = `${JSON.stringify(operation, (_key, value: unknown) =>
      typeof value === "number" && !Number.isFinite(value) ? { number: String(value) } : value,
    )}\n`;
    writing = writing.then(async () => {
      await file.appendFile(line);
      await file.datasync();
      size += Buffer.byteLength(line);
      wake?.();
    });
    return writing;
  };

  const pump = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      if (cursor.sent >= size) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (cursor.sent < size || stop.signal.aborted) resolve();
        });
        continue;
      }
      try {
        const { operation, bytes } = await readOperation(path, cursor.sent);
        cursor = await send(options, { operation, cursor });
        cursor = { ...cursor, sent: cursor.sent + bytes };
        await replaceFile(join(directory, cursorFile), JSON.stringify(cursor));
        away = false;
      } catch (error) {
        if (stop.signal.aborted) return;
        if (isRefused(error)) {
          onRefused?.(error);
          const { bytes } = await readOperation(path, cursor.sent);
          cursor = { ...cursor, sent: cursor.sent + bytes };
          continue;
        }
        if (!away) onAway?.(error);
        away = true;
        await sleep(retryMs, undefined, { signal: stop.signal }).catch(() => undefined);
      }
    }
  };
  const pumping = pump();

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await writing;
    stop.abort();
    wake?.();
    await pumping;
    await file.close();
    if (cursor.sent >= size) await rm(directory, { recursive: true, force: true });
  };

  return {
    get runId() {
      return cursor.runId;
    },
    openRun: async ({ experimentName, resumeRunId, init }) => {
      // A run that goes on has its creation in the file already, or its id from the server.
      if (size > 0) await append({ kind: "resume" });
      else if (resumeRunId !== undefined) await append({ kind: "resume", runId: resumeRunId });
      else await append({ kind: "create", experimentName, init, id: randomUUID() });
      return { takenParams: [] };
    },
    logBatch: (batch) => append({ kind: "batch", batch }),
    update: (update) => append({ kind: "update", update }),
    logInputs: (datasets) => append({ kind: "inputs", datasets }),
    writeArtifact: async (target, source) => {
      // Files are kept: what lies at the place later may be another one.
      const kept = join(filesFolder, randomUUID());
      if ("file" in source) await cp(source.file, join(directory, kept), { recursive: true });
      else await replaceFile(join(directory, kept), source.data);
      await append({ kind: "artifact", path: target, file: kept });
    },
    registerModel: (model) => append({ kind: "register", ...model }),
    drain: async (maxMs) => {
      const deadline = Date.now() + maxMs;
      await writing;
      while (cursor.sent < size && Date.now() < deadline) await sleep(50);
      return size - cursor.sent;
    },
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** Sends what earlier runs have left behind. @returns how many runs have arrived whole, and how many have not */
export async function sendOutboxes(
  root: string,
  options: Omit<OutboxOptions, "directory"> & { readonly maxMs: number; readonly except?: string },
): Promise<{ readonly sent: number; readonly left: number }> {
  const names = (await readdir(root).catch(() => [])).filter((name) => name !== options.except);
  let sent = 0;
  for (const name of names) {
    const outbox = await openOutbox({ ...options, directory: join(root, name) });
    const left = await outbox.drain(options.maxMs);
    await outbox.close();
    if (left > 0) return { sent, left: names.length - sent };
    sent += 1;
  }
  return { sent, left: 0 };
}

async function send(
  { store, artifacts, directory }: OutboxOptions,
  { operation, cursor }: { readonly operation: Operation; readonly cursor: Cursor },
): Promise<Cursor> {
  if (operation.kind === "create") return create(store, operation, cursor);
  const known = operation.kind === "resume" ? (operation.runId ?? cursor.runId) : cursor.runId;
  if (known === undefined) throw noRun(directory);
  if (operation.kind === "resume") {
    await store.updateRun(known, { status: "RUNNING" });
    // All that was recorded before stands before this in the file, so the server has it.
    const { info, data } = await store.getRun(known);
    return { ...cursor, runId: known, artifactUri: info.artifactUri, logged: loggedStepsOf(data.metrics) };
  }
  const { runId = known, artifactUri, logged = {} } = cursor;
  if (artifactUri === undefined) throw noRun(directory);
  switch (operation.kind) {
    case "batch":
      for (const batch of splitBatch(withoutLogged(operation.batch, logged))) await logOnce(store, runId, batch);
      break;
    case "update":
      await store.updateRun(runId, operation.update);
      break;
    case "inputs":
      await store.logInputs(runId, { datasets: operation.datasets });
      break;
    case "artifact":
      await artifacts.copyIn(artifactUri, operation.path, join(directory, operation.file));
      await rm(join(directory, operation.file), { recursive: true, force: true });
      break;
    case "register":
      await registerOnce(store, { ...operation, runId, artifactUri });
      break;
    default:
      operation satisfies never;
  }
  return cursor;
}

function noRun(directory: string): PipelineError {
  return new PipelineError("TRACKING_INVALID", `the outbox ${directory} does not begin with a run`);
}

async function create(
  store: TrackingStore,
  { experimentName, init, id }: Extract<Operation, { kind: "create" }>,
  cursor: Cursor,
): Promise<Cursor> {
  const experiment = await experimentNamed(store, experimentName);
  const search = { experimentIds: [experiment], filter: `tags.\`${outboxTag}\` = '${id}'`, maxResults: 1 };
  const known = (await store.searchRuns(search)).items[0];
  const tags = [...(init.tags ?? []), { key: outboxTag, value: id }];
  const { info } = known ?? (await store.createRun(experiment, { ...init, tags }));
  return { ...cursor, runId: info.runId, artifactUri: info.artifactUri };
}

/** Params are written once: those that a resumed run has stay, changed ones are kept as tags. */
async function logOnce(store: TrackingStore, runId: string, batch: Batch): Promise<void> {
  try {
    await store.logBatch(runId, batch);
  } catch (error) {
    if (batch.params === undefined || !isPipelineError(error, "TRACKING_INVALID")) throw error;
    const { data } = await store.getRun(runId);
    const taken = new Map(data.params.map(({ key, value }) => [key, value]));
    if (!batch.params.some(({ key }) => taken.has(key))) throw error;
    await store.logBatch(runId, {
      params: batch.params.filter(({ key }) => !taken.has(key)),
      tags: batch.params
        .filter(({ key, value }) => taken.has(key) && taken.get(key) !== value)
        .map(({ key, value }) => ({ key: `resumed.${key}`.slice(0, 250), value })),
    });
  }
}

function isRefused(error: unknown): boolean {
  return (
    isPipelineError(error, "TRACKING_INVALID") ||
    isPipelineError(error, "TRACKING_NOT_FOUND") ||
    isPipelineError(error, "TRACKING_STATE")
  );
}

async function readCursor(directory: string): Promise<Cursor> {
  const text = await readFile(join(directory, cursorFile), "utf8").catch(() => undefined);
  return text === undefined ? { sent: 0 } : (JSON.parse(text) as Cursor);
}

const chunkBytes = 64 * 1024;

async function readOperation(
  path: string,
  from: number,
): Promise<{ readonly operation: Operation; readonly bytes: number }> {
  await using file = await open(path, "r");
  const parts: Buffer[] = [];
  for (let position = from; ; ) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, position);
    const end = buffer.subarray(0, bytesRead).indexOf(10);
    parts.push(buffer.subarray(0, end === -1 ? bytesRead : end));
    position += bytesRead;
    if (end !== -1 || bytesRead === 0) break;
  }
  const line = Buffer.concat(parts);
  const revive = (_key: string, value: unknown): unknown =>
    typeof value === "object" && value !== null && "number" in value && Object.keys(value).length === 1
      ? Number(value.number)
      : value;
  return { operation: JSON.parse(line.toString(), revive) as Operation, bytes: line.byteLength + 1 };
}
