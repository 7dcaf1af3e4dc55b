import type { Command } from "commander";
import { expandHome } from "../../base/home-path.ts";
import { chooseBundle } from "../choose-bundle.ts";
import { addConfigOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { note, type Terminal } from "../display/terminal.ts";
import { syntheticNotice } from "../display/training-display.ts";
import { serveUntilStopped } from "../serve-until-stopped.ts";

interface ServeArguments extends ConfigArguments {
  readonly host?: string;
  readonly port?: string;
  readonly model?: string;
}

export function addServeCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("serve")
    .description("serve a model bundle over HTTP: upload page, /predict, /docs, /metrics; logs go to standard output")
    .option("--host <address>", "address to listen on (default: serving.host, 127.0.0.1)")
    .option("--port <number>", "port to listen on, 0 for any free one (default: serving.port, 8000)")
    .option("--model <bundle>", "bundle folder, or its name (default: the newest)", expandHome)
    .option("--debug", "show where an error comes from");
  addConfigOptions(command).action(async (options: ServeArguments) => {
    const { config } = loadArguments(terminal, { ...options, set: [...options.set, ...addressOverrides(options)] });
    const bundle = await chooseBundle(terminal, config, options.model);
    await serveUntilStopped(terminal, {
      config,
      bundle,
      consoleLevel: "info",
      onListening({ url }) {
        const { name, dataset } = bundle.metadata;
        note(terminal, `serving ${name} at ${url} (documentation: ${url}/docs); Ctrl-C stops`);
        if (dataset.synthetic) note(terminal, `note: the model was trained on ${syntheticNotice}`);
      },
    });
  });
}

/** --host and --port in the words of --set, so that they are checked like these. */
export function addressOverrides({ host, port }: Pick<ServeArguments, "host" | "port">): string[] {
  return [
    ...(host === undefined ? [] : [`serving.host=${host}`]),
    ...(port === undefined ? [] : [`serving.port=${port}`]),
  ];
}
