import type { Command } from "commander";
import { addConfigOptions, addOutputOptions, type ConfigArguments, loadArguments } from "../config-options.ts";
import { diagnose, type Finding } from "../diagnose.ts";
import { print, printJson, type Terminal, table } from "../display/terminal.ts";
import { exitCodes } from "../failure.ts";
import { asTyped } from "../invocation.ts";
import { packageVersion } from "../version.ts";

interface DoctorArguments extends ConfigArguments {
  readonly json?: boolean;
}

const marks = { ok: "ok", missing: "missing", problem: "PROBLEM" } as const satisfies Record<Finding["status"], string>;

export function addDoctorCommand(program: Command, terminal: Terminal): void {
  const command = program.command("doctor").description("what is here, what is missing, and how to get it");
  addOutputOptions(addConfigOptions(command)).action(async (options: DoctorArguments) => {
    const { config } = loadArguments(terminal, options);
    const findings = await diagnose(config);
    const healthy = findings.every(({ status }) => status !== "problem");
    if (options.json === true) printJson(terminal, { version: packageVersion(), healthy, findings });
    else {
      const rows = findings.map(({ name, status, detail }) => [marks[status], name, detail]);
      table(rows).forEach((line, i) => {
        print(terminal, line);
        const { remedy } = findings[i]!;
        if (remedy !== undefined) print(terminal, asTyped(`         to do: ${remedy}`));
      });
      print(terminal, healthy ? "ready" : "not ready: see the problems above");
    }
    if (!healthy) terminal.status.code = exitCodes.failed;
  });
}
