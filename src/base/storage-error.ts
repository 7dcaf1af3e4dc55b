import { PipelineError } from "./errors.ts";

const reasons: Readonly<Record<string, readonly [reason: string, remedy: string]>> = {
  ENOSPC: ["the disk is full", "free some space on it, or choose another folder"],
  EDQUOT: ["the disk quota is used up", "free some space, or choose another folder"],
  EROFS: ["the file system is read-only, or the folder above is gone", "choose another folder"],
  EACCES: ["permission denied", "choose another folder, or change the rights"],
  EPERM: ["the operation is not permitted", "choose another folder, or change the rights"],
  SQLITE_FULL: ["the disk is full", "free some space on it, or choose another place"],
  SQLITE_READONLY: ["the database is read-only", "choose another place, or change the rights"],
  ENAMETOOLONG: ["the name is too long", "choose a shorter one"],
  ENOTDIR: ["a file lies where a folder is wanted", "move that file away, or choose another folder"],
  EISDIR: ["a folder lies where a file is wanted", "choose another name"],
  ELOOP: ["its links lead in a circle", "name the file itself"],
  EIO: ["the disk reports an error", "check the disk"],
};

/** A system error of a disk that is full, read-only, forbidden or broken, in words; undefined for any other error. */
export function storageError(error: unknown, path?: string): PipelineError | undefined {
  if (!(error instanceof Error) || !("code" in error) || error instanceof PipelineError) return undefined;
  const code = "syscall" in error && error.syscall === "mkdir" ? codeOfMkdir(error.code) : String(error.code);
  const known = Object.hasOwn(reasons, code) ? reasons[code] : undefined;
  if (known === undefined) return undefined;
  const place = path ?? ("path" in error ? String(error.path) : undefined);
  const [reason, remedy] = known;
  return new PipelineError("STORAGE_FAILED", `${place === undefined ? "a file" : place} can't be used: ${reason}`, {
    cause: error,
    remedy,
    ...(place === undefined ? {} : { details: { path: place } }),
  });
}

/** What Node says where a folder can't be made on a read-only file system, or in the place of a file. */
function codeOfMkdir(code: unknown): string {
  if (code === "ENOENT") return "EROFS";
  return code === "EEXIST" ? "ENOTDIR" : String(code);
}
