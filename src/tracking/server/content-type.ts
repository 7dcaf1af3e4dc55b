const types: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
  svg: "image/svg+xml",
  json: "application/json",
  csv: "text/csv; charset=utf-8",
  pdf: "application/pdf",
  txt: "text/plain; charset=utf-8",
  md: "text/plain; charset=utf-8",
  log: "text/plain; charset=utf-8",
  yaml: "text/plain; charset=utf-8",
  yml: "text/plain; charset=utf-8",
  mlmodel: "text/plain; charset=utf-8",
};

/** By the ending of a file's name; pages are told as plain text. */
export function contentTypeOf(name: string): string {
  const ending = name.toLowerCase().split(".").at(-1) ?? "";
  if (ending === "html" || ending === "htm") return "text/plain; charset=utf-8";
  return types[ending] ?? "application/octet-stream";
}
