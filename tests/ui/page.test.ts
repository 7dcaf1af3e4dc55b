import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createLogger } from "../../src/observability/logger.ts";
import { type RunningServer, startServer } from "../../src/serving/server.ts";
import { tinyMetadata, writeTinyBundle } from "../api/tiny-bundle.ts";

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
    server = await startServer({ bundlePath: bundle.directory, port: 0, logger: createLogger({ level: "silent" }) });
    // As root in a container Chromium has no sandbox to use; it opens our own page only.
    browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
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

  it("has API documentation that works under its policy", async () => {
    const page = await open("/docs");
    await page.waitForSelector(".opblock-summary-path");
    const paths = await page.locator(".opblock-summary-path").allInnerTexts();
    expect(paths.map((path) => path.replaceAll("\u200b", ""))).toContain("/predict");
  });
});
