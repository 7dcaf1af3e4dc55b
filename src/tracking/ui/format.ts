type Missing = undefined | null;

/** Five digits, which is what a table has room for, and all of those before the point. */
export function number(value: number | string | Missing): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(3);
  return String(size < 1e4 ? Number(value.toPrecision(5)) : Math.round(value));
}

/** @param milliseconds since 1970 */
export function time(milliseconds: number | Missing): string {
  if (!milliseconds) return "";
  const date = new Date(milliseconds);
  const pad = (part: number) => String(part).padStart(2, "0");
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

export function duration(milliseconds: number | Missing): string {
  if (milliseconds === undefined || milliseconds === null || !(milliseconds >= 0)) return "";
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${(seconds / 60).toFixed(1)} min`;
  const hours = seconds / 3600;
  return hours <= 48 ? `${hours.toFixed(1)} h` : `${(hours / 24).toFixed(1)} days`;
}

export function bytes(size: number | Missing): string {
  if (size === undefined || size === null) return "";
  if (size < 1000) return `${size} B`;
  return size < 1e6 ? `${(size / 1e3).toFixed(1)} kB` : `${(size / 1e6).toFixed(1)} MB`;
}

/** Protobuf writes what JSON lacks as text. */
export function toNumber(value: number | string): number {
  return typeof value === "string" ? Number(value) : value;
}
