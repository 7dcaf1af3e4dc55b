import { randomUUID } from "node:crypto";
import { cp, type FileHandle, lstat, mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ignoreMissing, replaceFile } from "../../base/durable.ts";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { type HeldLock, isHeld, keepTouched, lockFile, tryLockFile } from "../../base/lock-file.ts";
import { storageError } from "../../base/storage-error.ts";
import { AsyncStack } from "../../http/async-stack.ts";
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
  /** Called with what the server refuses for what it is; it is given up, unless it is the run itself. */
  readonly onRefused?: (error: unknown) => void;
}

export interface Outbox extends RunTarget {
  /** The server's id of the run; undefined until it has taken it. */
  readonly runId: string | undefined;
  /** Waits until everything has arrived, at most so long, and not for a run that is refused. @returns bytes that have not */
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
  await mkdir(dirname(options.directory), { recursive: true });
  // What sends an earlier part of this run at this moment ends soon.
  return await openLocked(options, await lockFile(lockOf(options.directory), { staleMs }));
}

/** Beside the folder, which is removed while the lock is held. */
function lockOf(directory: string): string {
  return `${directory}.lock`;
}

const beatMs = 10_000;
const staleMs = 6 * beatMs;

/** Frees the lock in the end, or when it fails. */
async function openLocked(options: OutboxOptions, held: HeldLock): Promise<Outbox> {
  const { directory, retryMs = 2000, onAway, onRefused } = options;
  await using opened = new AsyncStack();
  opened.use(keepTouched(held, beatMs));
  await mkdir(join(directory, filesFolder), { recursive: true });
  const path = join(directory, operationsFile);
  const file = opened.use(await open(path, "a+"));
  let size = await endOfLines(file);
  let cursor = await readCursor(directory);
  let writing: Promise<void> = Promise.resolve();
  let wake: (() => void) | undefined;
  let away = false;
  let refused = false;
  const stop = new AbortController();

  const append = (operation: Operation): Promise<void> => {
    // NaN and infinities are no JSON.
    const line = `${JSON.stringify(operation, (_key, value: unknown) =>
      typeof value === "number" && !Number.isFinite(value) ? { number: String(value) } : value,
    )}\n`;
    const written = writing.then(async () => {
      try {
        // A loss of power, or an earlier failure, may have left a part of a line.
        await file.truncate(size);
        await file.appendFile(line);
        await file.datasync();
      } catch (error) {
        throw storageError(error, path) ?? error;
      }
      size += Buffer.byteLength(line);
      wake?.();
    });
    writing = written.catch(() => undefined);
    return written;
  };

  const sendNext = async (): Promise<void> => {
    const { operation, bytes } = await readOperation(path, cursor.sent);
    try {
      cursor = await send(options, { operation, cursor });
    } catch (error) {
      if (!isRefused(error) || stop.signal.aborted) throw error;
      refused = operation.kind === "create" || operation.kind === "resume" || cursor.runId === undefined;
      onRefused?.(refused ? runRefused(directory, error) : error);
      if (refused) return;
    }
    cursor = { ...cursor, sent: cursor.sent + bytes };
    await replaceFile(join(directory, cursorFile), JSON.stringify(cursor));
    if (operation.kind === "artifact") await rm(join(directory, operation.file), { recursive: true, force: true });
  };
  const pump = async (): Promise<void> => {
    while (!stop.signal.aborted && !refused) {
      if (cursor.sent >= size) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (cursor.sent < size || stop.signal.aborted) resolve();
        });
        continue;
      }
      try {
        await sendNext();
        away = false;
      } catch (error) {
        if (stop.signal.aborted) return;
        if (!away) onAway?.(error);
        away = true;
        await sleep(retryMs, undefined, { signal: stop.signal }).catch(() => undefined);
      }
    }
  };
  const pumping = pump();

  const resources = opened.move();
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await using _resources = resources;
    await writing;
    stop.abort();
    wake?.();
    await pumping;
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
      while (cursor.sent < size && !refused && Date.now() < deadline) await sleep(50);
      return size - cursor.sent;
    },
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** How many runs have arrived whole, how many have not, and how many were left to the trainings that use them. */
export interface SentOutboxes {
  readonly sent: number;
  readonly left: number;
  readonly used: number;
}

/** Sends what earlier runs have left behind. */
export async function sendOutboxes(
  root: string,
  options: Omit<OutboxOptions, "directory"> & { readonly maxMs: number; readonly except?: string },
): Promise<SentOutboxes> {
  const count = { sent: 0, left: 0, used: 0 };
  for (const entry of await readdir(root, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory() || entry.name === options.except) continue;
    const directory = join(root, entry.name);
    const lock = await tryLockFile(lockOf(directory), { staleMs });
    if (!isHeld(lock)) {
      count.used += 1;
      continue;
    }
    const outbox = await openLocked({ ...options, directory }, lock);
    const left = await outbox.drain(options.maxMs);
    await outbox.close();
    count[left > 0 ? "left" : "sent"] += 1;
  }
  return count;
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
    case "artifact": {
      const kept = join(directory, operation.file);
      // It is removed only when the server has it.
      if ((await lstat(kept).catch(ignoreMissing)) === undefined) break;
      await artifacts.copyIn(artifactUri, operation.path, kept);
      break;
    }
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

function runRefused(directory: string, error: PipelineError): PipelineError {
  return new PipelineError(error.code, `the run is refused: ${error.message}`, {
    cause: error,
    remedy: `its records are kept in ${directory}: send them with \`cifar track sync\` when that is put right, or delete them`,
    details: { ...error.details, directory },
  });
}

function isRefused(error: unknown): error is PipelineError {
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

/** Where the last whole line ends. */
async function endOfLines(file: FileHandle): Promise<number> {
  for (let end = (await file.stat()).size; end > 0; end -= chunkBytes) {
    const start = Math.max(0, end - chunkBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    const newline = buffer.subarray(0, bytesRead).lastIndexOf(10);
    if (newline !== -1) return start + newline + 1;
  }
  return 0;
}

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
