import { execFileSync } from "node:child_process";
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { isMissing, replaceFile, writeFileDurably } from "./durable.ts";
import { storageError } from "./storage-error.ts";

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "durable-"));
  onTestFinished(async () => {
    await chmod(path, 0o755);
    await rm(path, { recursive: true, force: true });
  });
  return path;
}

it("replaces a file as a whole and leaves nothing else behind", async () => {
  const file = join(await folder(), "record.json");
  await replaceFile(file, "one");
  await replaceFile(file, new TextEncoder().encode("two"));
  expect(await readFile(file, "utf8")).toBe("two");
  expect(await readdir(join(file, ".."))).toEqual(["record.json"]);
});

it("leaves no temporary file where the target can't be replaced", async () => {
  const file = join(await folder(), "taken");
  await mkdir(file);
  await writeFile(join(file, "x"), "");
  await expect(replaceFile(file, "text")).rejects.toThrow();
  expect(await readdir(join(file, ".."))).toEqual(["taken"]);
});

it("replaces what a link leads to, and keeps the link", async () => {
  const path = await folder();
  await writeFile(join(path, "target"), "one");
  await symlink("target", join(path, "link"));
  await replaceFile(join(path, "link"), "two");
  expect(await readlink(join(path, "link"))).toBe("target");
  expect(await readFile(join(path, "target"), "utf8")).toBe("two");
});

it.skipIf(process.platform === "win32")("replaces nothing but regular files", async () => {
  const path = await folder();
  const at = (name: string): string => `${path}/${name}`;
  execFileSync("mkfifo", [at("pipe")]);
  await writeFile(at("file"), "");
  await symlink("/dev/null", at("device"));
  await symlink("nothing", at("dangling"));
  await mkdir(at("folder"));
  const names = (await readdir(path)).sort();
  for (const [name, why] of [
    ["pipe", "it is a pipe"],
    ["device", "it is a device"],
    ["dangling", "it is a link to what is not there"],
    ["folder", "it is a folder"],
    ["folder/", "it is a folder"],
    ["none/", "it is the name of a folder"],
    ["none/x.png", "there is no folder"],
    ["file/x.png", "file is a file, no folder"],
  ] as const) {
    await expect(replaceFile(at(name), "x"), name).rejects.toMatchObject({
      code: "STORAGE_FAILED",
      message: expect.stringContaining(why),
    });
  }
  await expect(replaceFile("", "x")).rejects.toMatchObject({ message: expect.stringContaining("the name is empty") });
  expect((await readdir(path)).sort()).toEqual(names);
  expect((await lstat(at("pipe"))).isFIFO()).toBe(true);
});

it("refuses to write over a file that should be new", async () => {
  const file = join(await folder(), "new");
  await writeFileDurably(file, "one");
  await expect(writeFileDurably(file, "two")).rejects.toMatchObject({ code: "EEXIST" });
});

it.skipIf(process.platform !== "linux")("says where a disk is full", async () => {
  const error = await writeFile("/dev/full", "x").catch((cause: unknown) => storageError(cause, "/data/model.onnx"));
  expect(error).toMatchObject({
    code: "STORAGE_FAILED",
    message: expect.stringContaining("/data/model.onnx can't be used: the disk is full"),
    remedy: expect.stringContaining("free some space"),
  });
});

it("leaves other errors alone, and knows a missing file", () => {
  const missing = Object.assign(new Error("gone"), { code: "ENOENT" });
  expect(storageError(missing)).toBeUndefined();
  expect(storageError("text")).toBeUndefined();
  expect([missing, new Error("x"), undefined].map(isMissing)).toEqual([true, false, false]);
});
