import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { renderErrorReference } from "../../src/base/error-reference.ts";
import { configKeys, configSections } from "../../src/config/keys.ts";
import { loadConfig } from "../../src/config/load.ts";
import { renderConfigurationReference } from "../../src/config/reference.ts";
import { limitedKeys } from "../../src/config/supported.ts";

const path = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url));
const keyNames = configKeys.map(({ key }) => key);

function leaves(node: unknown, prefix: string): string[] {
  if (keyNames.includes(prefix) || typeof node !== "object" || node === null) return [prefix];
  return Object.entries(node).flatMap(([name, child]) => leaves(child, prefix === "" ? name : `${prefix}.${name}`));
}

describe("config/config.yaml", () => {
  it("has exactly the keys of the schema, with their defaults", () => {
    const tree: unknown = parse(readFileSync(path("config/config.yaml"), "utf8"));
    expect(leaves(tree, "").sort()).toEqual([...keyNames].sort());
    const { config } = loadConfig({ file: path("config/config.yaml"), env: {} });
    expect(config).toEqual(loadConfig({ env: {} }).config);
  });
});

describe("the configuration schema", () => {
  it("describes every key and section", () => {
    expect(keyNames.length).toBeGreaterThan(90);
    for (const { key, description, expected } of configKeys) {
      expect(description, key).toMatch(/\S.*\.$/);
      expect(expected, key).not.toBe("");
    }
    for (const { name, description } of configSections) expect(description, name).not.toBe("");
  });

  it("has no key that no code reads", () => {
    const files = readdirSync(path("src"), { recursive: true, encoding: "utf8" }).filter(
      (file) =>
        file.endsWith(".ts") && !file.endsWith(".test.ts") && !/^config[\\/](sections|presets|supported)/.test(file),
    );
    const code = files.map((file) => readFileSync(path(`src/${file}`), "utf8")).join("\n");
    // A key whose one value is its default is read by the rule that says so.
    const unread = keyNames.filter(
      (key) => !limitedKeys.has(key) && !new RegExp(`\\b${key.split(".").at(-1)}\\b`).test(code),
    );
    expect(unread).toEqual([]);
  });

  it("has every key that is limited in this version", () => {
    for (const key of limitedKeys.keys()) expect(keyNames).toContain(key);
  });
});

describe("generated pages (node scripts/build.mjs && node scripts/generate-docs.mjs)", () => {
  it("docs/configuration.md follows the schema", () => {
    expect(readFileSync(path("docs/configuration.md"), "utf8")).toBe(renderConfigurationReference());
  });

  it("docs/errors.md follows the error codes, which are in alphabetical order", () => {
    expect(readFileSync(path("docs/errors.md"), "utf8")).toBe(renderErrorReference());
    const codes = [...renderErrorReference().matchAll(/^\| `(\w+)`/gm)].map(([, code]) => code);
    expect(codes).toEqual([...codes].sort());
  });
});
