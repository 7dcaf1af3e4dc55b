import { setMaxListeners } from "node:events";
import type { FastifyReply, FastifyRequest } from "fastify";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { untilAborted } from "../base/until-aborted.ts";
import type { Classification, ClassifyOptions } from "../inference/classifier.ts";
import { cancellation } from "./cancellation.ts";
import type { RouteContext } from "./dependencies.ts";
import type { FeedbackLog } from "./feedback-log.ts";
import type { LoadedModel, ModelSelector } from "./model-repository.ts";

export interface Answer {
  readonly model: LoadedModel;
  readonly results: readonly Classification[];
  readonly totalSeconds: number;
}

type ClassifyOne = (call: ClassifyOptions) => Promise<Classification>;

/** What every way to ask for predictions has in common: model, deadline, overload, accounting. */
export class PredictionService {
  readonly #context: RouteContext;
  readonly #feedback: FeedbackLog;

  constructor(context: RouteContext, feedback: FeedbackLog) {
    this.#context = context;
    this.#feedback = feedback;
  }

  /**
   * @param prepare reads the request and gives what to classify, for the model that answers
   * @throws MODEL_NOT_FOUND, QUEUE_FULL, DEADLINE_EXCEEDED and what reading and classifying throw
   */
  async answer(
    request: FastifyRequest,
    reply: FastifyReply,
    selector: ModelSelector | undefined,
    prepare: (model: LoadedModel) => Promise<readonly ClassifyOne[]>,
  ): Promise<Answer> {
    const { models, limits, metrics, drift, now } = this.#context;
    const started = now();
    const seconds = () => (now() - started) / 1000;
    using lease = models.lease(selector);
    const { model } = lease;
    using cancel = cancellation(request, reply, limits.predictTimeoutMs);
    requireTime(model, cancel.timeoutMs);
    const tasks = await untilAborted(prepare(model), cancel.signal);
    // However long the upload took.
    cancel.startTimeout();
    requireTime(model, cancel.timeoutMs);
    let results: readonly Classification[];
    try {
      results = await all(tasks, { signal: cancel.signal, requestId: request.id });
    } catch (error) {
      model.statistics.observeFailure(seconds());
      throw error;
    }
    const totalSeconds = seconds();
    const { classes, name } = model.bundle.metadata;
    results.forEach((result, index) => {
      metrics.observePrediction({ ...result, requestId: request.id });
      drift?.observe(model.bundle.metadata, result);
      model.statistics.observeSuccess({ ...result, totalSeconds });
      const id = predictionId(request.id, index, results.length);
      this.#feedback.remember(id, {
        model: name,
        classes,
        predictedClass: result.index,
        confidence: result.confidence,
      });
    });
    reply.header("server-timing", serverTiming(results, totalSeconds));
    return { model, results, totalSeconds };
  }
}

/** What POST /feedback wants for an image: the request's id, with the image's place when there are several. */
export function predictionId(requestId: string, index: number, count: number): string {
  return count === 1 ? requestId : `${requestId}:${index}`;
}

/** A request that would only time out in the queue is better told at once. */
function requireTime({ classifier }: LoadedModel, leftMs: number): void {
  const waitMs = classifier.expectedWaitMs;
  if (waitMs <= leftMs) return;
  throw new PipelineError(
    "QUEUE_FULL",
    `the wait for the model is about ${Math.ceil(waitMs)} ms, longer than allowed`,
    {
      remedy: "retry later, or allow more time",
      details: { retryAfterMs: waitMs - Math.max(0, leftMs) },
    },
  );
}

/** All results, or the first failure with the image's place; the other images are given up then. */
async function all(
  tasks: readonly ClassifyOne[],
  { signal, requestId }: { readonly signal: AbortSignal; readonly requestId: string },
): Promise<readonly Classification[]> {
  if (tasks.length === 1) return [await tasks[0]!({ signal, requestId })];
  const rest = new AbortController();
  const combined = AbortSignal.any([signal, rest.signal]);
  // Every image listens, as its decoding and its run do: many are no leak.
  setMaxListeners(0, combined);
  let first: unknown;
  const settled = await Promise.allSettled(
    tasks.map((classify, index) =>
      classify({ signal: combined, requestId }).catch((error: unknown) => {
        first ??= withPlace(error, index);
        rest.abort(first);
        throw first;
      }),
    ),
  );
  if (first !== undefined) throw first;
  return settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
}

function withPlace(error: unknown, index: number): unknown {
  if (!isPipelineError(error) || !error.code.startsWith("IMAGE_")) return error;
  return new PipelineError(error.code, `image ${index}: ${error.message}`, { cause: error });
}

function serverTiming(results: readonly Classification[], totalSeconds: number): string {
  const longest = (pick: (result: Classification) => number) => (1000 * Math.max(...results.map(pick))).toFixed(2);
  return [
    `decode;dur=${longest((result) => result.decodeSeconds)}`,
    `queue;dur=${longest((result) => result.queueSeconds)}`,
    `compute;dur=${longest((result) => result.inferenceSeconds)}`,
    `total;dur=${(1000 * totalSeconds).toFixed(2)}`,
  ].join(", ");
}
