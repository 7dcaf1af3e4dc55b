import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createLogger } from "../../src/observability/logger.ts";
import { type RunningServer, startServer } from "../../src/serving/server.ts";
import { cifarClasses, tinyMetadata, writeTinyBundle } from "../api/tiny-bundle.ts";

// Set CHROMIUM_PATH, or install chromium (Debian: apt-get install chromium), to run these tests.
const executablePath = [
  process.env.CHROMIUM_PATH,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));

describe.skipIf(executablePath === undefined)("the page at / (needs Chromium: install it or set CHROMIUM_PATH)", () => {
  let root: string;
  let server: RunningServer;
  let browser: Browser;
  let photo: Buffer;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ui-"));
    const { dataset } = tinyMetadata();
    const bundle = await writeTinyBundle(root, { dataset: { ...dataset, name: "drawn shapes", synthetic: true } });
    server = await startServer({ bundle: bundle.directory, port: 0, logger: createLogger({ level: "silent" }) });
    // As root in a container Chromium has no sandbox to use; it opens our own page only.
    const args = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
    browser = await chromium.launch({ executablePath: executablePath!, args });
    photo = await sharp({ create: { width: 64, height: 48, channels: 3, background: "#3366aa" } })
      .png()
      .toBuffer();
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await rm(root, { recursive: true, force: true });
  });

  /** A page without console errors, whose policy was not violated. */
  async function open(path = "/", options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext(options);
    const problems: string[] = [];
    const page = await context.newPage();
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => {
      // A refused upload shows as a failed resource: that is the answer under test.
      if (message.type() === "error" && !message.text().includes("status of 4")) problems.push(message.text());
    });
    page.on("request", (request) => {
      if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(server.url)) problems.push(request.url());
    });
    onTestFinished(async () => {
      await context.close();
      expect(problems).toEqual([]);
    });
    await page.goto(server.url + path);
    return page;
  }

  it("classifies a chosen image and shows all classes, timing and preview", async () => {
    const page = await open();
    await page.setInputFiles("#file", { name: "boat.png", mimeType: "image/png", buffer: photo });
    await page.waitForSelector("#result:not([hidden])");
    expect(await page.locator("#probabilities tr").count()).toBe(10);
    const rows = await page.locator("#probabilities td").allInnerTexts();
    const values = rows.map((text) => Number.parseFloat(text.replace("<", "")));
    expect(values).toEqual([...values].sort((a, b) => b - a));
    expect(await page.locator("#answer-label").textContent()).toBe(
      await page.locator("#probabilities th").first().textContent(),
    );
    expect(await page.locator("#timing").textContent()).toMatch(/Model \d.* ms, in all \d.* ms/);
    expect(await page.locator("#probabilities .is-top").count()).toBe(3);
    expect(await page.locator("#preview-caption").textContent()).toBe("boat.png, 64 × 48");
    expect(await page.locator("#status").textContent()).toMatch(/^Prediction: /);
  });

  it("takes a dropped and a pasted image", async () => {
    for (const [type, event] of [
      ["drop", "DragEvent"],
      ["paste", "ClipboardEvent"],
    ]) {
      const page = await open();
      // A string, as the browser's types are not among this project's.
      await page.evaluate(`{
        const bytes = Uint8Array.from(atob("${photo.toString("base64")}"), (c) => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "moved.png", { type: "image/png" }));
        const init = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
        document.body.dispatchEvent(new ${event}("${type}", init));
      }`);
      await page.waitForSelector("#result:not([hidden])");
    }
  });

  it("shows the server's reason for a file that is no image, and recovers", async () => {
    const page = await open();
    await page.setInputFiles("#file", { name: "x.png", mimeType: "image/png", buffer: Buffer.from("no image here") });
    await page.waitForSelector("#error:not([hidden])");
    expect(await page.locator("#error").textContent()).toMatch(
      /could not be classified[\s\S]*supported format[\s\S]*Request /,
    );
    await page.setInputFiles("#file", { name: "ok.png", mimeType: "image/png", buffer: photo });
    await page.waitForSelector("#result:not([hidden])");
    expect(await page.locator("#error").isVisible()).toBe(false);
  });

  it("shows the model, its accuracy and that it was trained on synthetic data", async () => {
    const page = await open();
    await page.waitForSelector("#synthetic-notice:not([hidden])");
    expect(await page.locator("#synthetic-notice").textContent()).toContain("synthetic");
    const facts = await page.locator("#model").textContent();
    for (const text of ["tiny_trainer_20260101-000000", "93.1 % (test images)", "drawn shapes (synthetic)"]) {
      expect(facts).toContain(text);
    }
  });

  it("is usable by keyboard: the chooser opens and its focus is visible", async () => {
    const page = await open();
    const chooser = page.waitForEvent("filechooser");
    await page.locator("#file").focus();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Shift+Tab");
    expect(await page.evaluate('getComputedStyle(document.getElementById("drop-label")).outlineStyle')).toBe("solid");
    await page.keyboard.press("Enter");
    await (await chooser).setFiles({ name: "k.png", mimeType: "image/png", buffer: photo });
    await page.waitForSelector("#result:not([hidden])");
  });

  it("fits a phone without sideways scrolling, light and dark", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      const page = await open("/", { viewport: { width: 320, height: 640 }, colorScheme });
      await page.setInputFiles("#file", {
        name: "a-very-long-file-name".repeat(6),
        mimeType: "image/png",
        buffer: photo,
      });
      await page.waitForSelector("#result:not([hidden])");
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(320);
    }
  });

  it("classifies a drawing and a picture of the camera, and keeps the visit's history", async () => {
    const page = await open();
    await page.locator(".sample").first().click();
    await page.waitForSelector("#result:not([hidden])");
    expect(await page.locator("#preview-caption").textContent()).toMatch(/^airplane\.png/);
    await page.click("#camera");
    await page.waitForSelector("#camera-take:enabled");
    await expect.poll(() => page.evaluate('document.getElementById("camera-video").videoWidth')).toBeGreaterThan(0);
    await page.click("#camera-take");
    await page.waitForSelector("#history li:nth-child(2)");
    expect(await page.locator("#preview-caption").textContent()).toMatch(/^camera\.jpg, \d+ × \d+$/);
    // The camera's light is off again.
    expect(await page.evaluate('document.getElementById("camera-video").srcObject')).toBeNull();
    await page.locator(".history-entry").last().click();
    expect(await page.locator("#preview-caption").textContent()).toMatch(/^airplane\.png/);
  });

  it("takes a correction and a confirmation", async () => {
    const page = await open();
    await page.setInputFiles("#file", { name: "boat.png", mimeType: "image/png", buffer: photo });
    await page.waitForSelector("#result:not([hidden])");
    const wanted = await page.locator("#feedback-class").inputValue();
    await page.locator("#feedback button[type=submit]").click();
    await page.waitForSelector("#feedback-thanks:not([hidden])");
    expect(await page.locator(".history-detail").first().textContent()).toBe(`really ${wanted}`);
    await page.setInputFiles("#file", { name: "boat.png", mimeType: "image/png", buffer: photo });
    await page.waitForSelector("#feedback:not([hidden])");
    await page.click("#feedback-right");
    await page.waitForSelector("#feedback-thanks:not([hidden])");
    expect(await page.locator("#feedback-thanks").textContent()).toMatch(/50\.0 % of 2 rated predictions were right/);
  });

  it("lets the visitor choose among loaded models", async () => {
    await writeTinyBundle(root, { name: "other_tuned_20260201-000000", classes: [...cifarClasses].reverse() });
    await server.models.load({ name: "other_tuned" }, { role: "beside" });
    onTestFinished(() => server.models.unload({ name: "other_tuned" }));
    const page = await open();
    await page.setInputFiles("#file", { name: "boat.png", mimeType: "image/png", buffer: photo });
    await page.waitForSelector("#result:not([hidden])");
    const before = await page.locator("#answer-label").textContent();
    await page.selectOption("#model-select", "other_tuned_20260201-000000");
    await expect.poll(() => page.locator("#answer-label").textContent()).not.toBe(before);
    expect(await page.locator("#model").textContent()).toContain("other_tuned_20260201-000000");
  });

  it("has no accessibility fault that axe finds, light and dark, on a phone and on a desk", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      for (const [path, width] of [
        ["/", 390],
        ["/", 1440],
        ["/dashboard", 390],
        ["/dashboard", 1440],
      ] as const) {
        const page = await open(path, { colorScheme, viewport: { width, height: 900 } });
        if (path === "/") {
          await page.setInputFiles("#file", { name: "boat.png", mimeType: "image/png", buffer: photo });
          await page.waitForSelector("#result:not([hidden])");
        }
        // With its charts, which come with the first figures.
        if (path === "/dashboard") await page.waitForSelector("#panels .chart canvas", { timeout: 60_000 });
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
        await page.evaluate(`${axe.source}; 0`);
        const faults = await page.evaluate(
          "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes[0].html]))",
        );
        expect(faults, `${path} ${colorScheme} ${width}`).toEqual([]);
      }
    }
  });

  it("shows the figures of the service live at /dashboard", async () => {
    const page = await open("/dashboard");
    // Two samples, five seconds apart.
    await page.waitForSelector("#panels section:not([hidden])", { timeout: 30_000 });
    await page.waitForSelector("#connection:text('live')");
    const titles = await page.locator("#panels section:not([hidden]) h2").allInnerTexts();
    for (const title of ["Requests", "Errors", "Queue", "CPU", "Memory"]) expect(titles).toContain(title);
    expect(titles).not.toContain("GPU");
    expect(await page.locator("#classes tr").count()).toBeGreaterThan(0);
    expect(await page.locator("#panels .chart[aria-label]").first().getAttribute("aria-label")).toMatch(/^all: .*\/s$/);
    await page.setViewportSize({ width: 320, height: 640 });
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(320);
  });

  it("has API documentation that works under its policy", async () => {
    const page = await open("/docs");
    await page.waitForSelector(".opblock-summary-path");
    const paths = await page.locator(".opblock-summary-path").allInnerTexts();
    expect(paths.map((path) => path.replaceAll("\u200b", ""))).toContain("/predict");
  });
});
