// Compiles src/ to dist/, bundles the tracking page and copies the files that are not TypeScript (pages, styles, schemas).
import { spawnSync } from "node:child_process";
import { cpSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const bundled = join(root, "src", "tracking", "ui");

const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
const result = spawnSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json")], { stdio: "inherit" });
if (result.status !== 0) process.exit(result.status ?? 1);

await build({
  configFile: false,
  logLevel: "warn",
  root: bundled,
  base: "/page/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: join(root, "dist", "tracking", "ui"),
    emptyOutDir: true,
    // The page's policy allows no data: addresses of scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});

for (const entry of readdirSync(join(root, "src"), { recursive: true, withFileTypes: true })) {
  const from = join(entry.parentPath, entry.name);
  if (!entry.isFile() || /\.ts$/.test(entry.name) || from.startsWith(bundled)) continue;
  cpSync(from, join(root, "dist", from.slice(join(root, "src").length)));
}
