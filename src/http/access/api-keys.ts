import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { PipelineError } from "../../base/errors.ts";

/** "predict": predictions and feedback; "admin": whatever changes the service (models, alerts). */
export const apiScopes = ["predict", "admin"] as const;
export type ApiScope = (typeof apiScopes)[number];

/** A key without the key: what a file of keys holds. */
export interface ApiKeyEntry {
  readonly name: string;
  readonly scopes: readonly ApiScope[];
  /** SHA-256 of the key, hex. A key is 256 random bits, so one round without salt gives nothing to guess. */
  readonly digest: string;
}

const linePattern = /^([A-Za-z0-9._-]{1,64}):([a-z,]+):([0-9a-f]{64})$/;
/** Longer ones are not worth hashing. */
const maxKeyLength = 200;

export interface NewApiKey {
  /** Shown once; not stored. */
  readonly key: string;
  /** For the file of keys. */
  readonly line: string;
}

export function createApiKey(name: string, scopes: readonly ApiScope[]): NewApiKey {
  const key = `cifar_${randomBytes(32).toString("base64url")}`;
  const line = `${name}:${scopes.join(",")}:${sha256(key).toString("hex")}`;
  // The same rules as on reading, so that what is written can be read.
  parseLine(line, "the new key");
  return { key, line };
}

/** The keys that a service knows. */
export class ApiKeys {
  readonly #entries: readonly { readonly entry: ApiKeyEntry; readonly digest: Buffer }[];

  constructor(entries: readonly ApiKeyEntry[] = []) {
    this.#entries = entries.map((entry) => ({ entry, digest: Buffer.from(entry.digest, "hex") }));
  }

  get count(): number {
    return this.#entries.length;
  }

  /** Compares with every entry in constant time: neither the place of a match nor of a difference shows. */
  find(key: string): ApiKeyEntry | undefined {
    if (key.length > maxKeyLength) return undefined;
    const digest = sha256(key);
    let found: ApiKeyEntry | undefined;
    for (const candidate of this.#entries) if (timingSafeEqual(candidate.digest, digest)) found = candidate.entry;
    return found;
  }
}

/**
 * Reads a file of keys: a line each, NAME:SCOPE,SCOPE:SHA256, empty lines and those that begin with # aside.
 * @throws CONFIG_UNREADABLE, CONFIG_INVALID with the line's number
 */
export async function readApiKeys(path: string): Promise<ApiKeys> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new PipelineError("CONFIG_UNREADABLE", `the file of API keys ${path} can't be read`, {
      remedy: "set serving.api_keys_file to a readable file, made with `cifar key`",
      details: { path },
      cause,
    });
  }
  const entries = text.split(/\r?\n/).flatMap((line, index) => {
    const trimmed = line.trim();
    return trimmed === "" || trimmed.startsWith("#") ? [] : [parseLine(trimmed, `${path} line ${index + 1}`)];
  });
  const names = entries.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new PipelineError("CONFIG_INVALID", `${path} has two keys named ${twice}`, { remedy: "rename one of them" });
  }
  return new ApiKeys(entries);
}

function parseLine(line: string, place: string): ApiKeyEntry {
  const [, name, scopeList, digest] = linePattern.exec(line) ?? [];
  const scopes = scopeList?.split(",") ?? [];
  if (name === undefined || digest === undefined || !scopes.every(isScope)) {
    // The line is not quoted: it may hold a key instead of its digest.
    throw new PipelineError("CONFIG_INVALID", `${place} is not of the form NAME:SCOPES:SHA256`, {
      remedy: `scopes are ${apiScopes.join(", ")}; make a line with \`cifar key\``,
    });
  }
  return { name, scopes: scopes as ApiScope[], digest };
}

const isScope = (text: string): text is ApiScope => (apiScopes as readonly string[]).includes(text);
const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();
