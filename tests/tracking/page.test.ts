import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, chromium, type Page, type Route } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createRng } from "../../src/base/rng.ts";
import { startTrackingServer, type TrackingServer } from "../../src/tracking/server/server.ts";
import { openSqlStore } from "../../src/tracking/sql/store.ts";
import { randomSampler } from "../../src/tuning/samplers/random.ts";
import { choice, createSpace, logUniform, uniform } from "../../src/tuning/space.ts";
import type { Study } from "../../src/tuning/study.ts";
import { studyState, studySummary } from "../../src/tuning/summary.ts";
import { studyOf, trialOf } from "../tuning/simulated-study.ts";
import { seedRuns } from "./seed-runs.ts";

const executablePath = [process.env.CHROMIUM_PATH, "/usr/bin/chromium", "/usr/bin/google-chrome"].find(
  (path) => path !== undefined && existsSync(path),
);

/** A sweep after so many trials were started, of which the last one runs. */
function simulatedSweep(): (count: number) => Study {
  const space = createSpace({
    "training.optimizer": choice(["sgd", "adamw"]),
    "training.learning_rate": logUniform(1e-4, 1),
    "training.label_smoothing": uniform(0, 0.3),
  });
  const trials = Array.from({ length: 12 }, (_, number) => {
    const params = randomSampler.sample({ space, trials: [], direction: "maximize", rng: createRng(number) })!;
    const value = 0.9 - 0.1 * Math.abs(Math.log10(Number(params["training.learning_rate"])) + 2);
    return { ...trialOf({ number, params, status: "complete", reports: [{ step: 4, value }] }), trackingRunId: "r" };
  });
  return (count) => ({
    ...studyOf(
      trials
        .slice(0, count)
        .map((trial) => (trial.number === count - 1 ? { ...trial, status: "running", reports: [] } : trial)),
      { direction: "maximize", maxSteps: 4, space },
    ),
    lastEventAt: count,
  });
}

describe.skipIf(executablePath === undefined)(
  "the tracking page (needs Chromium: install it or set CHROMIUM_PATH)",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "cifar-tracking-page-"));
    let server: TrackingServer;
    let browser: Browser;
    let ids: readonly string[];
    let first: string;
    let swept: string;

    beforeAll(async () => {
      const path = join(folder, "t.sqlite");
      const store = await openSqlStore({ path });
      ({ ids } = await seedRuns(store, { experiment: "ten", runs: 10, points: 20 }));
      first = ids[0]!;
      const { info } = await store.createRun("1", { runName: "sweep", userId: "ada", startTime: 1 });
      swept = info.runId;
      await seedRuns(store, { experiment: "many", runs: 400, points: 1 });
      await store.createRegisteredModel("net");
      await store.createModelVersion("net", { source: `mlflow-artifacts:/1/${first}/artifacts/model`, runId: first });
      await store.close();
      server = await startTrackingServer({ port: 0, store: path });
      browser = await chromium.launch({ executablePath: executablePath ?? "", args: ["--no-sandbox"] });
    }, 120_000);
    afterAll(async () => {
      await browser?.close();
      await server?.close();
      rmSync(folder, { recursive: true, force: true });
    });

    /** A page without errors, whose policy was not violated. */
    async function open(hash: string, viewport = { width: 1280, height: 800 }): Promise<Page> {
      const context = await browser.newContext({ viewport });
      const page = await context.newPage();
      const problems: string[] = [];
      page.on("pageerror", (error) => problems.push(error.message));
      // A refused filter and what is not there show as failed resources: those are the answers under test.
      page.on(
        "console",
        (message) =>
          message.type() === "error" && !/status of 40[04]/.test(message.text()) && problems.push(message.text()),
      );
      onTestFinished(async () => {
        await context.close();
        expect(problems).toEqual([]);
      });
      await page.goto(`${server.url}/#/${hash}`);
      return page;
    }
    async function history(run: string, key: string): Promise<{ metrics: { step: number; value: number }[] }> {
      const query = new URLSearchParams({ run_id: run, metric_key: key });
      const answer = await fetch(`${server.url}/api/2.0/mlflow/metrics/get-history?${query}`);
      return (await answer.json()) as Awaited<ReturnType<typeof history>>;
    }
    async function post<T>(path: string, input: Readonly<Record<string, unknown>>): Promise<T> {
      const answer = await fetch(`${server.url}/api/2.0/mlflow/${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(input),
      });
      expect(answer.status, path).toBe(200);
      return (await answer.json()) as T;
    }
    async function putArtifact(run: string, path: string, value: unknown): Promise<void> {
      const url = `${server.url}/api/2.0/mlflow-artifacts/artifacts/1/${run}/artifacts/${path}`;
      expect((await fetch(url, { method: "PUT", body: JSON.stringify(value) })).status).toBe(200);
    }
    const names = (page: Page) => page.locator(".grid-row:not(.head) a").allTextContents();

    it("sorts, filters and shows the largest values", async () => {
      const page = await open("experiments/1");
      await page.locator(".grid-row a").first().waitFor();
      await page.getByRole("button", { name: /^val_accuracy/ }).click();
      await page.getByRole("button", { name: /^val_accuracy ↓/ }).waitFor();
      expect(await names(page)).toHaveLength(11);
      const filter = page.getByRole("combobox", { name: /^Filter/ });
      await filter.fill("params.model.name = ");
      await page.getByRole("option", { name: "'resnet9'" }).waitFor();
      await filter.fill("params.model.name = 'resnet9'");
      await filter.press("Enter");
      await page.getByRole("listbox", { name: "Proposals" }).waitFor({ state: "hidden" });
      await page.getByText("3 runs", { exact: true }).waitFor();
      expect((await names(page)).every((name) => name.startsWith("resnet9"))).toBe(true);
      await page.getByLabel("Metric values").selectOption("max");
      await page.getByText("largest").last().waitFor();
      const best = await page.getByRole("cell").allTextContents();
      await page.getByLabel("Metric values").selectOption("step");
      await page.getByLabel("Step", { exact: true }).fill("7");
      await page.getByText("step 7", { exact: true }).last().waitFor();
      expect(await page.getByRole("cell").allTextContents()).not.toEqual(best);
      const { metrics } = await history(first, "val_accuracy");
      const seventh = metrics.find(({ step }) => step === 7)!.value;
      await page.getByRole("cell", { name: String(Number(seventh.toPrecision(5))), exact: true }).waitFor();
      await filter.fill("nonsense");
      await page.getByRole("alert").filter({ hasText: "nonsense" }).waitFor();
    });

    it("proposes what may come next in a filter, by keyboard and by mouse", async () => {
      const page = await open("experiments/1");
      await page.locator(".grid-row a").first().waitFor();
      const filter = page.getByRole("combobox", { name: /^Filter/ });
      await filter.pressSequentially("mod");
      const proposals = page.getByRole("listbox", { name: "Proposals" }).getByRole("option");
      await proposals.filter({ hasText: "params.model.name" }).waitFor();
      await filter.press("ArrowDown");
      await filter.press("Enter");
      await proposals.getByText("=", { exact: true }).click();
      await proposals.getByText("'airbench'").click();
      expect(await filter.inputValue()).toBe("params.model.name = 'airbench' ");
      await page.getByText("3 runs", { exact: true }).waitFor();
      await filter.press("Escape");
      await proposals.first().waitFor({ state: "hidden" });
    });

    it("shows the same to whom the address is given", async () => {
      const page = await open("experiments/1");
      await page.locator(".grid-row a").first().waitFor();
      await page.getByRole("combobox", { name: /^Filter/ }).fill("metrics.val_accuracy > 0");
      await page.getByRole("button", { name: /^val_loss/ }).click();
      await page.getByLabel("Group by").selectOption("model.name");
      await page.getByText("Columns", { exact: true }).click();
      await page.getByRole("checkbox", { name: "training.batch_size" }).check();
      await page.getByLabel("Only what differs").uncheck();
      await page.getByRole("button", { name: /^training.batch_size/ }).waitFor();
      await page.waitForURL(/filter=metrics/);
      const address = page.url();
      const shown = await page.locator(".grid-row").allTextContents();
      expect(shown.filter((text) => text.startsWith("model.name = "))).toHaveLength(4);
      const other = await open(address.slice(address.indexOf("#/") + 2));
      await other.locator(".grid-row.group").first().waitFor();
      expect(await other.locator(".grid-row").allTextContents()).toEqual(shown);
    });

    it("has no accessibility fault that axe finds, light and dark, on a phone and on a desk", async () => {
      const desk = { width: 1280, height: 800 };
      const phone = { width: 390, height: 800 };
      for (const [hash, ready, colorScheme, viewport] of [
        ["experiments/1", ".grid-row a", "light", desk],
        [`compare?runs=${ids.slice(0, 3).join()}`, "#differences", "dark", phone],
        [`runs/${first}?tab=metrics`, ".u-wrap", "dark", desk],
        ["models/net", "table.plain", "light", phone],
      ] as const) {
        const page = await open(hash, viewport);
        await page.emulateMedia({ colorScheme });
        await page.locator(ready).first().waitFor();
        await page.evaluate(axe.source);
        const faults = await page.evaluate(
          "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes[0].html]))",
        );
        expect(faults, `${hash} ${colorScheme}`).toEqual([]);
      }
    });

    it("holds only the rows in sight of a long table", async () => {
      const page = await open("experiments/2");
      await page.getByText("400 runs", { exact: true }).waitFor();
      expect(await page.locator(".grid-row").count()).toBeLessThan(60);
      await page.locator(".grid").evaluate((grid) => grid.scrollTo(0, grid.scrollHeight));
      await page.getByRole("link", { name: /_00000$/ }).waitFor();
    });

    it("compares chosen runs and shows only what differs", async () => {
      const page = await open("experiments/1");
      await page.locator(".grid-row a").first().waitFor();
      for (const index of [0, 1, 2]) await page.locator(".grid-row:not(.head) input").nth(index).click();
      await page.getByRole("button", { name: "Compare 3" }).click();
      await page.getByRole("heading", { name: "3 runs compared" }).waitFor();
      await page.locator(".u-wrap").first().waitFor();
      expect(await page.locator(".parallel path").count()).toBe(3);
      const rows = page.locator("#differences tbody tr");
      const few = await rows.count();
      await page.locator("#diff-only").click();
      expect(await rows.count()).toBeGreaterThan(few);
    });

    it("shows a run by keyboard, and fits a phone", async () => {
      const page = await open(`runs/${first}`, { width: 390, height: 800 });
      await page.getByRole("tab", { name: "Overview" }).focus();
      await page.keyboard.press("ArrowRight");
      await page.locator(".u-wrap").first().waitFor();
      expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBeLessThanOrEqual(390);
      expect(await page.locator("main").innerText()).not.toMatch(/null|undefined|object/);
      await page.getByRole("tab", { name: "Artifacts" }).click();
      await page.getByText("No artifacts").waitFor();
    });

    it("shows what one has to know of a run's model", async () => {
      const run = ids[1]!;
      await putArtifact(run, "confusion_matrix.json", {
        classes: ["cat", "dog"],
        confusion: [
          [8, 2],
          [1, 9],
        ],
      });
      await putArtifact(run, "model/metadata.json", {
        name: "resnet9_trainer_1",
        createdAt: "2026-01-02T03:04:05Z",
        model: { architecture: "resnet9", parameterCount: 6_573_130 },
        classes: ["cat", "dog"],
        preprocessing: { height: 32, width: 32, resize: "bilinear", mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] },
        dataset: { name: "cifar10", synthetic: false, digest: "sha256:abc" },
        metrics: { test: { accuracy: 0.85, loss: 0.4, macroF1: 0.849 } },
        calibration: { temperature: 1.25 },
        training: { seed: 7, epochs: 9 },
      });
      const page = await open(`runs/${run}?tab=model`);
      await page.getByText("resnet9, 6,573,130 parameters").waitFor();
      await page.getByRole("row", { name: "test 0.85 0.4 0.849" }).waitFor();
      await page.getByRole("row", { name: "cat 10 0.8 0.88889 dog (2)" }).waitFor();
    });

    it("shows a sweep while it runs: trials, the best so far, parallel coordinates, in the end what matters", async () => {
      const sweep = simulatedSweep();
      const put = (name: string, value: unknown) => putArtifact(swept, `tuning/${name}`, value);
      await put("state.json", studyState(sweep(6)));
      const page = await open(`runs/${swept}?tab=sweep`);
      await page.getByText("6 trials (1 running, 5 complete)").waitFor();
      expect(await page.locator(".parallel path").count()).toBe(5);
      expect(await page.locator(".scatter circle").count()).toBe(5);
      await page.getByText("known when the sweep is over").waitFor();
      // What comes is shown without a reload.
      const end = sweep(12);
      await put("state.json", studyState(end));
      await page.getByText("12 trials (1 running, 11 complete)").waitFor();
      const over = {
        ...end,
        trials: end.trials.slice(0, 11),
        lastEventAt: 99_000,
        finished: { best: 3, bundle: undefined },
      };
      // The state is there before the summary.
      await put("state.json", studyState(over));
      await page.getByText("too few trials to tell").waitFor();
      await put("summary.json", studySummary(over));
      await page.getByRole("cell", { name: "training.learning_rate" }).waitFor();
      expect(await page.locator("#trials tbody tr").count()).toBe(11);
      expect(await page.locator("#trials a").count()).toBe(11);
      const best = studyState(over).best!;
      await page.getByText(`${Number(best.value.toPrecision(5))} (trial ${best.trial})`, { exact: true }).waitFor();
      expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBeLessThanOrEqual(1280);
    });

    it("reads the last points of a run that ends while its page is open", async () => {
      const { run } = await post<{ run: { info: { run_id: string } } }>("runs/create", { experiment_id: "1" });
      const { run_id } = run.info;
      const log = (step: number) => post("runs/log-metric", { run_id, key: "loss", value: 1, step, timestamp: 1 });
      await log(1);
      const page = await open(`runs/${run_id}?tab=metrics`);
      const nextCurve = () => page.waitForResponse((response) => response.url().includes("get-curves"));
      await nextCurve();
      // The curve is read before the last point, the run after its end.
      const read = nextCurve();
      const end = async (route: Route) => {
        await read;
        await log(99);
        await post("runs/update", { run_id, status: "FINISHED", end_time: 2 });
        await route.continue();
      };
      await page.route(/runs\/get/, end, { times: 1 });
      await page.waitForResponse(async (response) => {
        return response.url().includes("get-curves") && (await response.text()).includes('"step":99');
      });
      await page.getByText("finished", { exact: true }).waitFor();
    });

    it("opens the experiment of the address, deleted ones too, and no other in its place", async () => {
      const { experiment_id } = await post<{ experiment_id: string }>("experiments/create", { name: "gone" });
      await post("experiments/delete", { experiment_id });
      const page = await open(`experiments/${experiment_id}`);
      await page.getByRole("heading", { name: "gone" }).waitFor();
      const other = await open("experiments/4711");
      await other.getByRole("alert").filter({ hasText: "4711" }).waitFor();
      expect(await other.locator(".grid").count()).toBe(0);
      expect(other.url()).toMatch(/#\/experiments\/4711$/);
    });

    it("tells of a run that is gone and of a file that is no model, and shows the rest", async () => {
      const page = await open(`compare?runs=${[first, "gone", ids[1]].join()}`);
      await page.getByRole("heading", { name: "2 runs compared" }).waitFor();
      await page.getByRole("alert").filter({ hasText: "1 of 3 runs" }).waitFor();
      await putArtifact(first, "model.onnx", "version https://git-lfs.github.com/spec/v1");
      const viewer = await open(`runs/${first}?tab=artifacts`);
      await viewer.getByRole("button", { name: /^model.onnx/ }).click();
      await viewer.getByRole("alert").filter({ hasText: "no ONNX model" }).waitFor();
      await viewer.getByRole("link", { name: "Download model.onnx" }).waitFor();
    });

    it("promotes a version", async () => {
      const page = await open("models/net");
      await page.getByRole("button", { name: "Promote to champion" }).click();
      await page.getByRole("button", { name: "Champion", exact: true }).waitFor();
      const answer = await fetch(`${server.url}/api/2.0/mlflow/registered-models/alias?name=net&alias=champion`);
      expect(await answer.json()).toMatchObject({ model_version: { version: "1" } });
      const history = page.locator("#history tbody tr");
      expect(await history.allTextContents()).toEqual([
        expect.stringMatching(/1alias set champion$/),
        expect.stringMatching(/1created$/),
      ]);
    });
  },
);
