import { type Command, InvalidArgumentError } from "commander";
import { type ApiScope, apiScopes, createApiKey } from "../../http/access/api-keys.ts";
import { note, print, printJson, type Terminal } from "../display/terminal.ts";

interface KeyArguments {
  readonly scope?: readonly ApiScope[];
  readonly json?: boolean;
}

export function addKeyCommand(program: Command, terminal: Terminal): void {
  program
    .command("key <name>")
    .description("make an API key: shows it once, and the line for the file that serving.api_keys_file names")
    .option(
      "--scope <scopes>",
      `what it may do: ${apiScopes.join(", ")}, separated by commas (default: predict)`,
      addScopes,
    )
    .option("--json", "write one JSON object")
    .option("--debug", "show where an error comes from")
    .action((name: string, { scope = ["predict"], json }: KeyArguments) => {
      const { key, line } = createApiKey(name, scope);
      if (json === true) return printJson(terminal, { name, scopes: scope, key, line });
      note(terminal, "The key, which is stored nowhere:");
      print(terminal, key);
      note(terminal, "The line to add to the file of API keys:");
      print(terminal, line);
    });
}

/** Given several times, it adds to what was given before. */
function addScopes(text: string, before: readonly ApiScope[] = []): readonly ApiScope[] {
  const scopes = text.split(",").map((part) => {
    const scope = apiScopes.find((candidate) => candidate === part.trim());
    if (scope === undefined) throw new InvalidArgumentError(`scopes are ${apiScopes.join(", ")}.`);
    return scope;
  });
  return [...new Set([...before, ...scopes])];
}
