#!/usr/bin/env node
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
// A fresh clone: the first command installs and builds.
if (!existsSync(at("../dist/cli/main.js")) && existsSync(at("../scripts/bootstrap.mjs"))) {
  await import("../scripts/bootstrap.mjs");
}
await import("../dist/cli/main.js");
