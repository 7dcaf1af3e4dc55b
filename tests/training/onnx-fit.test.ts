import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createOnnxExecutor } from "../../src/backends/onnx/executor.ts";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { floatData } from "../../src/tensor/tensor.ts";
import { loadCheckpoint } from "../../src/training/checkpoint.ts";
import type { FitOptions } from "../../src/training/fit.ts";
import { expectSameBits, follow, setup } from "./tiny-run.ts";

const format = { exportModel: exportInferenceModel, loadModel: (bytes: Uint8Array) => loadInferenceModel(bytes) };

async function onnxSetup(): Promise<FitOptions> {
  const executor = await createOnnxExecutor({ device: "cpu", threads: 2 });
  return { ...setup({ executor, format }), emaDecay: 0.9, lookahead: { startEpoch: 1, everySteps: 2 } };
}

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "onnx-fit-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe("fit on onnxruntime", () => {
  it("resumes to the same bits as an uninterrupted run", async () => {
    const whole = await follow(await onnxSetup());
    const abort = new AbortController();
    const first = await follow({ ...(await onnxSetup()), checkpoint: { directory }, signal: abort.signal }, (event) => {
      if (event.type === "step" && event.globalStep === 5) abort.abort();
    });
    expect(first.result.reason).toBe("aborted");
    const { checkpoint } = await loadCheckpoint(directory);
    const second = await follow({ ...(await onnxSetup()), resume: checkpoint });
    expectSameBits(second.result.state, whole.result.state);
    expectSameBits(second.result.weights, whole.result.weights);
    expect(second.result.validation).toEqual(whole.result.validation);
  });

  it("trains as the reference interpreter does", async () => {
    const options = { emaDecay: 0.9, lookahead: { startEpoch: 1, everySteps: 2 }, epochs: 1 };
    const ours = await follow({ ...(await onnxSetup()), ...options });
    const expected = await follow({ ...setup(), ...options });
    for (const [name, value] of Object.entries(expected.result.state)) {
      const actual = floatData(ours.result.state[name]!);
      const largest = floatData(value).reduce((m, x) => Math.max(m, Math.abs(x)), 1e-3);
      floatData(value).forEach((x, i) => {
        expect(Math.abs(x - actual[i]!) / largest, `${name}[${i}]`).toBeLessThan(2e-3);
      });
    }
    expect(ours.result.validation!.loss).toBeCloseTo(expected.result.validation!.loss, 3);
  });
});
