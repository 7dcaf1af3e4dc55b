import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import axe from "axe-core";
import { chromium } from "playwright-core";
import { describe, expect, it, vi } from "vitest";
import { startAlertApp } from "./alert-app.ts";
import { startMailSink } from "./mail-sink.ts";
import { freePort, hasAlertmanager, remedy, startAlertmanager } from "./programs.ts";

vi.setConfig({ testTimeout: 180_000 });

const executablePath = [process.env.CHROMIUM_PATH, "/usr/bin/chromium", "/usr/bin/google-chrome"].find(
  (path) => path !== undefined && existsSync(path),
);
const here = hasAlertmanager && executablePath !== undefined;

const project = "https://git.example.com/cifar/blob/main/";

const alert = (name: string, severity: string, summary: string, description: string, minutesAgo = 5) => ({
  labels: { alertname: name, severity, service: "cifar10-api", instance: "cifar-api-with-a-long-name.internal:8000" },
  annotations: {
    ...{ summary, description },
    runbook_url: `${name === "HighCPUUsage" ? "" : project}docs/runbooks.md#${name.toLowerCase()}`,
  },
  startsAt: new Date(Date.now() - minutesAgo * 60_000).toISOString(),
});

const alerts = [
  alert(
    "HighResponseTime",
    "warning",
    "High Response Time",
    "95 of 100 predictions are answered within 4.85s, the others later",
  ),
  alert(
    "LogLinesLost",
    "warning",
    "Log Lines Are Lost",
    `${"very-long-name-without-a-space_".repeat(6)} did not take 50 log lines`,
  ),
  alert("HighCPUUsage", "warning", 'High <CPU> & "Usage"', "CPU usage is 90.0%"),
];

describe.skipIf(!here)(`the mail on a phone${here ? "" : ` (needs Chromium; ${remedy})`}`, () => {
  it("is readable as it is sent: no scrolling sideways, letters of 16 px, enough contrast, nothing from elsewhere", async () => {
    await using sink = await startMailSink();
    await using app = await startAlertApp();
    const port = await freePort();
    const text = (await readFile(app.alertmanager, "utf8"))
      .replaceAll("mail:1025", sink.address)
      .replace(/group_(wait|interval): \d+[sm]/g, "group_$1: 2s");
    await writeFile(app.alertmanager, text);
    await using _alertmanager = await startAlertmanager({
      config: app.alertmanager,
      storage: join(app.folder, "silences"),
      port,
    });
    const fire = async (body: readonly object[]) => {
      const response = await fetch(`http://127.0.0.1:${port}/api/v2/alerts`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      expect(response.status).toBe(200);
    };
    await fire(alerts);
    const html = async (what: string, marks: readonly string[]) => {
      const mail = await sink.find(what, ({ parts }) => marks.every((mark) => parts["text/html"]?.includes(mark)));
      return mail.parts["text/html"]!;
    };
    const mails = [await html("three fire", ["FIRING: High Response", "FIRING: Log Lines", "FIRING: High &lt;CPU"])];
    await fire([{ ...alerts[0], endsAt: new Date().toISOString() }]);
    mails.push(await html("one is over", ["RESOLVED: High Response"]));

    const browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
    try {
      for (const [i, mail] of mails.entries()) {
        const context = await browser.newContext({ viewport: { width: 390, height: 844 }, isMobile: true });
        const page = await context.newPage();
        const requests: string[] = [];
        page.on("request", (request) => requests.push(request.url()));
        await page.setContent(mail);
        if (process.env.SCREENSHOTS !== undefined) {
          await page.screenshot({ path: join(process.env.SCREENSHOTS, `mail-${i}.png`), fullPage: true });
        }
        const shown = (await page.evaluate(`({
          width: document.documentElement.scrollWidth,
          viewport: window.innerWidth,
          links: [...document.querySelectorAll("section a")].map((each) => each.href),
          sizes: [...document.querySelectorAll("p, h2, a")].map((each) => parseFloat(getComputedStyle(each).fontSize)),
        })`)) as { width: number; viewport: number; links: string[]; sizes: number[] };
        expect(shown.viewport).toBe(390);
        expect(shown.width).toBeLessThanOrEqual(390);
        expect(Math.min(...shown.sizes)).toBeGreaterThanOrEqual(16);
        const runbooks = ["highresponsetime", "loglineslost"].slice(0, i === 0 ? 2 : 1);
        expect(shown.links).toEqual(
          expect.arrayContaining(runbooks.map((each) => `${project}docs/runbooks.md#${each}`)),
        );
        expect(requests).toEqual([]);
        await page.evaluate(axe.source);
        const { violations } = (await page.evaluate("axe.run()")) as { violations: { id: string; nodes: unknown[] }[] };
        expect(violations.map(({ id }) => id)).toEqual([]);
        await context.close();
      }
    } finally {
      await browser.close();
    }
  });
});
