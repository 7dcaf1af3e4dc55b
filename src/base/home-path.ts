import { homedir } from "node:os";
import { join } from "node:path";

/** A path whose first part is `~` names the user's home folder, as in a shell; every other path stays as it is. */
export function expandHome(path: string): string {
  return path === "~" || /^~[/\\]/.test(path) ? join(homedir(), path.slice(1)) : path;
}
