// Pictures of the tracking page over a store: node scripts/tracking-screenshots.mjs STORE FOLDER. Needs a build and Chromium.
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import sharp from "sharp";
import { startTrackingServer } from "../dist/tracking/server/server.js";
import { openSqlStore } from "../dist/tracking/sql/store.js";

const [path, folder] = process.argv.slice(2);
if (path === undefined || folder === undefined) {
  console.error("usage: node scripts/tracking-screenshots.mjs STORE FOLDER");
  process.exit(2);
}
const executablePath = [process.env.CHROMIUM_PATH, "/usr/bin/chromium", "/usr/bin/google-chrome"].find(
  (candidate) => candidate !== undefined && existsSync(candidate),
);
if (executablePath === undefined) {
  console.error("error: needs Chromium: install it or set CHROMIUM_PATH");
  process.exit(1);
}

/** The experiment with the most runs, and its newest ones. */
async function busiest(store) {
  let found = { experiment: "0", runs: [] };
  for (const { experimentId } of (await store.searchExperiments()).items) {
    const { items } = await store.searchRuns({ experimentIds: [experimentId], maxResults: 200 });
    if (items.length > found.runs.length) found = { experiment: experimentId, runs: items };
  }
  return found;
}

const store = await openSqlStore({ path });
const { experiment, runs } = await busiest(store);
await store.close();
const ids = runs.map(({ info }) => info.runId);
const sweep = runs.find(({ data }) => data.tags.some(({ key, value }) => key === "tuning.role" && value === "sweep"));
const views = [
  ["runs", `experiments/${experiment}`, ".grid-row a"],
  ["run", `runs/${ids[0]}?tab=metrics`, ".u-wrap"],
  ["compare", `compare?runs=${ids.slice(0, 5).join()}`, ".parallel"],
  ...(sweep === undefined ? [] : [["sweep", `runs/${sweep.info.runId}?tab=sweep`, ".parallel"]]),
];
const sizes = { desk: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };

mkdirSync(folder, { recursive: true });
const server = await startTrackingServer({ port: 0, store: path });
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
for (const [name, hash, ready] of views)
  for (const [size, viewport] of Object.entries(sizes)) {
    const page = await browser.newPage({ viewport, colorScheme: size === "desk" ? "light" : "dark" });
    await page.goto(`${server.url}/#/${hash}`);
    await page.locator(ready).first().waitFor();
    await page.waitForLoadState("networkidle");
    const picture = await page.screenshot();
    const file = join(folder, `tracking-${name}-${size}.png`);
    // Small enough for a document: a palette does.
    await sharp(picture)
      .resize({ width: Math.min(viewport.width, 1000) })
      .png({ palette: true, colours: 64 })
      .toFile(file);
    console.log(file);
    await page.close();
  }
await browser.close();
await server.close();
