import { PassThrough } from "node:stream";
import type { Command } from "commander";
import { createProgram } from "./program.ts";

/** docs/cli.md: the help of every command. */
export async function renderCommandReference(): Promise<string> {
  const sink = new PassThrough();
  const program = await createProgram({ out: sink, err: sink, interactive: false, env: {}, status: { code: 0 } });
  const help = (command: Command): string => {
    const text = command.helpInformation();
    return `\`\`\`text\n${text.trim()}\n\`\`\``;
  };
  const sections = leaves(program, "cifar").map(([name, command]) => `## ${name}\n\n${help(command)}`);
  return `${[
    "# Command line",
    "<!-- Generated from src/cli by scripts/generate-docs.mjs: do not edit. -->",
    "`node PATH/bin/cifar.mjs COMMAND` from any folder, with the path of the clone; in the clone also `npm run cifar -- COMMAND`.",
    help(program),
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 stopped by Ctrl-C, SIGTERM or SIGHUP. With `--json`, " +
      "standard output holds JSON only; `train --json` writes one line for each event, the last one of the type " +
      "`result` or `error`.",
    ...sections,
  ].join("\n\n")}\n`;
}

function leaves(command: Command, path: string): (readonly [string, Command])[] {
  return command.commands.flatMap((child) => {
    const name = `${path} ${child.name()}`;
    return child.commands.length === 0 ? [[name, child] as const] : leaves(child, name);
  });
}
