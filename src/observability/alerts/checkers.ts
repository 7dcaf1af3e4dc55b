import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** "absent": the program that checks is not installed here; the program that loads the file checks it then. */
export type CheckOutcome = "checked" | "absent";

/** @throws with the program's own words when the file is wrong */
export const checkRules = (path: string): Promise<CheckOutcome> => checkWith("promtool", ["check", "rules", path]);

/** @throws with the program's own words when the file is wrong */
export const checkAlertmanager = (path: string): Promise<CheckOutcome> => checkWith("amtool", ["check-config", path]);

async function checkWith(command: string, args: readonly string[]): Promise<CheckOutcome> {
  try {
    await run(command, args, { timeout: 20_000 });
    return "checked";
  } catch (error) {
    const { code, stdout = "", stderr = "" } = error as NodeJS.ErrnoException & { stdout?: string; stderr?: string };
    if (code === "ENOENT") return "absent";
    throw new Error(`${command}: ${`${stderr}\n${stdout}`.trim().slice(0, 1000)}`, { cause: error });
  }
}
