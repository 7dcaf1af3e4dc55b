// Writes the pages of docs/ whose source is code. Needs the build: node scripts/build.mjs && node scripts/generate-docs.mjs
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const built = (path) => import(new URL(`../dist/${path}`, import.meta.url).href);
const { renderErrorReference } = await built("base/error-reference.js");
const { renderConfigurationReference } = await built("config/reference.js");
const { renderMetricReference } = await built("observability/metric-reference.js");
const { renderCommandReference } = await built("cli/reference.js");
const pages = {
  "cli.md": await renderCommandReference(),
  "configuration.md": renderConfigurationReference(),
  "errors.md": renderErrorReference(),
  "metrics.md": renderMetricReference(),
};
for (const [name, text] of Object.entries(pages)) {
  const path = fileURLToPath(new URL(`../docs/${name}`, import.meta.url));
  writeFileSync(path, text);
  console.log(`wrote docs/${name}`);
}
