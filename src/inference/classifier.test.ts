import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { tensor } from "../tensor/tensor.ts";
import { Classifier, type ClassifierOptions } from "./classifier.ts";
import type { Predictor } from "./predictor.ts";

const png = await sharp({ create: { width: 8, height: 8, channels: 3, background: "#336699" } })
  .png()
  .toBuffer();

const metadata: ClassifierOptions["metadata"] = {
  classes: ["a", "b"],
  preprocessing: { height: 8, width: 8, resize: "bilinear", mean: [0, 0, 0], std: [1, 1, 1] },
  calibration: { temperature: 1 },
};

/** A model that answers when it is let. */
function gatedPredictor() {
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const predictor: Predictor = {
    readiness: "ready",
    formOf: () => "portable",
    async predict(images) {
      const count = images.shape[0]!;
      await gate;
      return tensor("float32", [count, 2], new Float32Array(2 * count));
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  return { predictor, open };
}

describe("Classifier", () => {
  it("has one limit over the images that are decoded and those that wait for the model", async () => {
    const { predictor, open } = gatedPredictor();
    const classifier = new Classifier({ predictor, metadata, queueLimit: 5, maxBatchSize: 1, maxDelayMs: 0 });
    const results = Array.from({ length: 20 }, () => classifier.classify(png));
    // Before any decoder has ended: the queue of the model is empty, and yet no more than five are taken.
    const settled = Promise.allSettled(results);
    open();
    const states = (await settled).map((result) =>
      result.status === "fulfilled" ? "answered" : (result.reason as { code: string }).code,
    );
    expect(states).toEqual([...new Array(5).fill("answered"), ...new Array(15).fill("QUEUE_FULL")]);
    await classifier[Symbol.asyncDispose]();
  });

  it("never decodes what was cancelled before its turn", async () => {
    const { predictor, open } = gatedPredictor();
    const classifier = new Classifier({ predictor, metadata, maxBatchSize: 1, maxDelayMs: 0 });
    const cancel = new AbortController();
    // Not an image: decoding it would say so.
    const results = Array.from({ length: 30 }, (_, i) =>
      classifier.classify(i < 20 ? png : Buffer.from("no image"), i < 20 ? {} : { signal: cancel.signal }),
    );
    cancel.abort(new Error("gone"));
    open();
    const settled = await Promise.allSettled(results);
    expect(settled.slice(0, 20).every(({ status }) => status === "fulfilled")).toBe(true);
    expect(settled.slice(20)).toEqual(new Array(10).fill({ status: "rejected", reason: new Error("gone") }));
    await classifier[Symbol.asyncDispose]();
  });
});
