import type { Config } from "../config/schema.ts";
import type { LogLevel } from "../observability/logger.ts";
import { openServiceLog, type ServiceLog } from "../observability/logs/service-log.ts";

/** The log that the configuration asks for; null: lines go to the console only. */
export function openConfiguredLog(
  { monitoring }: Config,
  { consoleLevel }: { readonly consoleLevel: LogLevel },
): ServiceLog {
  return openServiceLog({
    directory: monitoring.log_dir,
    level: monitoring.log_level,
    consoleLevel,
    syslog: monitoring.syslog,
    maxBytes: monitoring.log_max_bytes,
    backups: monitoring.log_backups,
  });
}
