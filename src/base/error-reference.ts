import { errorCodes } from "./error-codes.ts";

/** docs/errors.md: every error code with its meaning. */
export function renderErrorReference(): string {
  const rows = Object.entries(errorCodes).map(
    ([code, meaning]) => `| \`${code}\` | ${meaning.replaceAll("|", "\\|")} |`,
  );
  return `${[
    "# Errors",
    "",
    "<!-- Generated from src/base/error-codes.ts by scripts/generate-docs.mjs: do not edit. -->",
    "",
    "Every error that the pipeline raises on purpose has a stable code. Its message names the offending value and, where " +
      "there is one, the remedy.",
    "",
    "| code | meaning |",
    "|---|---|",
    ...rows,
  ].join("\n")}\n`;
}
