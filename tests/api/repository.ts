import type { Bundle, BundleListing } from "../../src/inference/bundle.ts";
import type { Classification } from "../../src/inference/classifier.ts";
import { ModelStatistics } from "../../src/inference/model-statistics.ts";
import type { Readiness } from "../../src/inference/predictor.ts";
import { type ImageClassifier, ModelRepository } from "../../src/serving/model-repository.ts";

/** A classifier whose every answer is what `answer` gives. */
export function fakeClassifier(
  answer: (signal?: AbortSignal) => Promise<Classification>,
  readiness: Readiness = "ready",
): ImageClassifier {
  return {
    readiness,
    waiting: 0,
    expectedWaitMs: 0,
    classify: (_bytes, options) => answer(options?.signal),
    classifyImage: (_image, options) => answer(options?.signal),
  };
}

/** A repository of one model that somebody else closes. */
export function repositoryOf({
  bundle,
  classifier = fakeClassifier(() => Promise.reject(new Error("unused"))),
  statistics = new ModelStatistics(),
  list = async () => ({ bundles: [], damaged: [] }),
}: {
  readonly bundle: Pick<Bundle, "directory" | "metadata">;
  readonly classifier?: ImageClassifier;
  readonly statistics?: ModelStatistics;
  readonly list?: () => Promise<BundleListing>;
}): ModelRepository {
  return new ModelRepository({
    initial: { bundle, classifier, forms: ["portable"], statistics, [Symbol.asyncDispose]: async () => undefined },
    open: () => Promise.reject(new Error("unused")),
    list,
  });
}
