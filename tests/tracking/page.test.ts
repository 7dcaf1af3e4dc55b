import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startTrackingServer, type TrackingServer } from "../../src/tracking/server/server.ts";
import { openSqlStore } from "../../src/tracking/sql/store.ts";
import { seedRuns } from "./seed-runs.ts";

const executablePath = [process.env.CHROMIUM_PATH, "/usr/bin/chromium", "/usr/bin/google-chrome"].find(
  (path) => path !== undefined && existsSync(path),
);

describe.skipIf(executablePath === undefined)(
  "the tracking page (needs Chromium: install it or set CHROMIUM_PATH)",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "cifar-tracking-page-"));
    let server: TrackingServer;
    let browser: Browser;
    let first: string;

    beforeAll(async () => {
      const path = join(folder, "t.sqlite");
      const store = await openSqlStore({ path });
      const { ids } = await seedRuns(store, { experiment: "ten", runs: 10, points: 20 });
      first = ids[0]!;
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
      // A refused filter shows as a failed resource: that is the answer under test.
      page.on(
        "console",
        (message) =>
          message.type() === "error" && !message.text().includes("status of 400") && problems.push(message.text()),
      );
      onTestFinished(async () => {
        await context.close();
        expect(problems).toEqual([]);
      });
      await page.goto(`${server.url}/#/${hash}`);
      return page;
    }
    const names = (page: Page) => page.locator(".grid-row:not(.head) a").allTextContents();

    it("sorts, filters and shows the largest values", async () => {
      const page = await open("experiments/1");
      await page.locator(".grid-row a").first().waitFor();
      await page.getByRole("button", { name: /^val_accuracy/ }).click();
      await page.getByRole("button", { name: /^val_accuracy ↓/ }).waitFor();
      expect(await names(page)).toHaveLength(10);
      await page.getByRole("searchbox").fill("params.model.name = 'resnet9'");
      await page.getByText("3 runs", { exact: true }).waitFor();
      expect((await names(page)).every((name) => name.startsWith("resnet9"))).toBe(true);
      await page.getByLabel("Metric values").selectOption("max");
      await page.getByText("largest").last().waitFor();
      await page.getByRole("searchbox").fill("nonsense");
      await page.getByRole("alert").filter({ hasText: "nonsense" }).waitFor();
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
      await page.getByRole("tab", { name: "Artifacts" }).click();
      await page.getByText("No artifacts").waitFor();
    });

    it("promotes a version", async () => {
      const page = await open("models/net");
      await page.getByRole("button", { name: "Promote to champion" }).click();
      await page.getByRole("button", { name: "Champion", exact: true }).waitFor();
      const answer = await fetch(`${server.url}/api/2.0/mlflow/registered-models/alias?name=net&alias=champion`);
      expect(await answer.json()).toMatchObject({ model_version: { version: "1" } });
    });
  },
);
