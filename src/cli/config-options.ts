import { existsSync } from "node:fs";
import type { Command } from "commander";
import { expandHome } from "../base/home-path.ts";
import { type LoadedConfig, loadConfig } from "../config/load.ts";
import { presetNames } from "../config/presets.ts";
import type { Terminal } from "./display/terminal.ts";

export const defaultConfigFile = "config/config.yaml";

/** Options of every command that reads the configuration. */
export interface ConfigArguments {
  readonly config?: string;
  readonly preset?: string;
  readonly set: readonly string[];
}

export function addConfigOptions(command: Command): Command {
  return command
    .option("--config <file>", `configuration file (default: ${defaultConfigFile}, where it exists)`, expandHome)
    .option("--preset <name>", `named settings on top of the file: ${presetNames.join(", ")}`)
    .option("--set <section.key=value>", "one setting on top of all; may be repeated", collect, []);
}

export function addOutputOptions(command: Command): Command {
  return command.option("--json", "machine-readable output").option("--debug", "show where an error comes from");
}

/** Defaults < environment < file < preset < --set. */
export function loadArguments(
  { env }: Terminal,
  { config, preset, set }: ConfigArguments,
  extra: readonly string[] = [],
): LoadedConfig {
  const file = config ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);
  return loadConfig({
    env,
    overrides: [...extra, ...set],
    ...(file === undefined ? {} : { file }),
    ...(preset === undefined ? {} : { preset }),
  });
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}
