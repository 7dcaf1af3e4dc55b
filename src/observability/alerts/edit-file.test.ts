import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { editFile, type FileEdit } from "./edit-file.ts";

let path: string;

beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "edit-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  path = join(folder, "file.yml");
  await writeFile(path, "value: 1\n");
});

const text = () => readFile(path, "utf8");

const edit = (more: Partial<FileEdit> = {}): Promise<unknown> =>
  editFile({
    path,
    change: (old) => old.replace(/value: \d+/, "value: 2"),
    undo: (now) => now.replace(/value: \d+/, "value: 1"),
    check: async () => [],
    activate: async () => [],
    ...more,
  });

it("keeps an edit that somebody makes while the change is checked", async () => {
  let checks = 0;
  const check = async (candidate: string) => {
    if (checks++ === 0) await writeFile(path, "value: 1\nby: hand\n");
    else expect(await readFile(candidate, "utf8")).toBe("value: 2\nby: hand\n");
    return [];
  };
  expect(await edit({ check })).toEqual({ outcome: "applied", inForce: true, unverified: [], editedMeanwhile: true });
  expect(checks).toBe(2);
  expect(await text()).toBe("value: 2\nby: hand\n");
});

it("gives up when somebody never stops", async () => {
  let line = "";
  const check = async () => {
    line += "# more\n";
    await writeFile(path, `value: 1\n${line}`);
    return [];
  };
  await expect(edit({ check })).rejects.toMatchObject({
    code: "ALERT_CHANGE_FAILED",
    message: expect.stringContaining("somebody else keeps changing it"),
  });
  expect(await text()).toBe(`value: 1\n${line}`);
});

it("puts the old text back, byte for byte, and loads it when the new one is refused", async () => {
  const loaded: string[] = [];
  const activate = async (now: string) => {
    loaded.push(now);
    if (now.includes("2")) throw new Error("refused");
    return [];
  };
  await expect(edit({ activate })).rejects.toThrow("the old one is back and loaded: refused");
  expect(loaded).toEqual(["value: 2\n", "value: 1\n"]);
  expect(await text()).toBe("value: 1\n");
});

it("leaves what nobody can take back as it is, and says so", async () => {
  const activate = async () => {
    await writeFile(path, "{ broken\n");
    throw new Error("refused");
  };
  const undo = () => {
    throw new Error("no valid YAML");
  };
  await expect(edit({ activate, undo })).rejects.toThrow(/nor taken back.*refused; no valid YAML/);
  expect(await text()).toBe("{ broken\n");
});

it("leaves no other files behind, whatever happens", async () => {
  const failing = async () => Promise.reject(new Error("no"));
  await expect(edit({ check: failing })).rejects.toThrow("did not pass its check; nothing was changed: no");
  await expect(edit({ activate: failing })).rejects.toThrow("the old file is back but not loaded");
  await edit();
  expect(await readdir(join(path, ".."))).toEqual(["file.yml"]);
});
