import type { Writable } from "node:stream";

/** Where a command writes: results to `out`, progress and remarks to `err`. */
export interface Terminal {
  readonly out: Writable;
  readonly err: Writable;
  /** Whether `err` is a screen that progress bars can be drawn on. */
  readonly interactive: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A command that ends otherwise than well without throwing puts its exit code here. */
  readonly status: { code: number };
}

export function processTerminal(): Terminal {
  const interactive = process.stderr.isTTY === true && process.env.TERM !== "dumb";
  return { out: process.stdout, err: process.stderr, interactive, env: process.env, status: { code: 0 } };
}

/** One line of the result. */
export function print({ out }: Terminal, line = ""): void {
  out.write(`${line}\n`);
}

/** One line beside the result. */
export function note({ err }: Terminal, line: string): void {
  err.write(`${line}\n`);
}

export function printJson({ out }: Terminal, value: unknown): void {
  out.write(`${JSON.stringify(value)}\n`);
}

/** Columns as wide as their widest cell; the last one is not padded. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join("  ")
      .trimEnd(),
  );
}
