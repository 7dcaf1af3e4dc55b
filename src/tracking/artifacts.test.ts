import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { type ArtifactStore, openArtifactStore } from "./artifacts.ts";

const folder = mkdtempSync(join(tmpdir(), "cifar-artifacts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const uri = "mlflow-artifacts:/0/abc/artifacts";
let store: ArtifactStore;
let count = 0;
beforeEach(() => {
  count += 1;
  store = openArtifactStore({ root: join(folder, `root-${count}`) });
});

describe("openArtifactStore", () => {
  it("writes, overwrites, reads and lists", async () => {
    await store.write(uri, "plots/loss.txt", "one");
    await store.write(uri, "plots/loss.txt", new Uint8Array([50]));
    await store.write(uri, "a.json", "{}");
    expect(Buffer.from(await store.read(uri, "plots/loss.txt")).toString()).toBe("2");
    expect(await store.list(uri)).toEqual([
      { path: "a.json", isDir: false, fileSize: 2 },
      { path: "plots", isDir: true, fileSize: undefined },
    ]);
    expect(await store.list(uri, "plots")).toEqual([{ path: "plots/loss.txt", isDir: false, fileSize: 1 }]);
    expect(await store.list(uri, "none")).toEqual([]);
    expect(readdirSync(join(store.root, ".incoming"))).toEqual([]);
  });

  it("copies files and folders", async () => {
    const source = join(folder, `source-${count}`);
    mkdirSync(join(source, "deep"), { recursive: true });
    writeFileSync(join(source, "model.onnx"), "m");
    writeFileSync(join(source, "deep", "x"), "x");
    await store.copyIn(uri, "model", source);
    await store.copyIn(uri, "single.onnx", join(source, "model.onnx"));
    expect((await store.list(uri, "model")).map(({ path }) => path)).toEqual(["model/deep", "model/model.onnx"]);
    expect(Buffer.from(await store.read(uri, "model/deep/x")).toString()).toBe("x");
    symlinkSync("/etc/hostname", join(source, "link"));
    await expect(store.copyIn(uri, "model2", source)).rejects.toMatchObject({ code: "TRACKING_INVALID" });
    await expect(store.copyIn(uri, "m", join(source, "no"))).rejects.toMatchObject({ code: "TRACKING_NOT_FOUND" });
  });

  it("refuses every path that could lead elsewhere", async () => {
    for (const path of [
      "../x",
      "a/../../x",
      "/etc/passwd",
      "a//b",
      "./a",
      "a/.",
      "..",
      "a\\..\\b",
      "C:/x",
      "a\u0000b",
      "%2e%2e/x",
      "a%2Fb",
      ".incoming/x",
      "x".repeat(300),
      "",
    ]) {
      await expect(store.write(uri, path, "x"), path).rejects.toMatchObject({ code: "TRACKING_INVALID" });
      await expect(store.read(uri, path), path).rejects.toMatchObject({ code: "TRACKING_INVALID" });
    }
    for (const bad of ["file:///etc", "/etc", "mlflow-artifacts:/../x", "mlflow-artifacts://h/../x", "s3://b/x"])
      await expect(store.list(bad), bad).rejects.toMatchObject({ code: "TRACKING_INVALID" });
  });

  it("never resolves outside its root", async () => {
    const outside: string[] = [];
    const part = fc.constantFrom("..", ".", "", "a", "b c", "%2e", "\\", "/", "~", "C:", "\u0000");
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), async (parts) => {
        const path = parts.join("/");
        await store.write(uri, path, "x").then(
          async () => {
            const located = await store.locate(uri, path);
            if (!located.startsWith(join(store.root, "0/abc/artifacts/"))) outside.push(path);
          },
          (error: unknown) => expect(error).toHaveProperty("code"),
        );
      }),
    );
    expect(outside).toEqual([]);
  });

  it("refuses symbolic links that lead out, and does not list or read links", async () => {
    await store.write(uri, "real", "x");
    const runFolder = join(store.root, "0/abc/artifacts");
    symlinkSync(folder, join(runFolder, "out"));
    symlinkSync("/etc/hostname", join(runFolder, "file"));
    await expect(store.write(uri, "out/x", "x")).rejects.toMatchObject({ code: "TRACKING_INVALID" });
    await expect(store.list(uri, "out")).rejects.toMatchObject({ code: "TRACKING_INVALID" });
    await expect(store.read(uri, "file")).rejects.toMatchObject({ code: "TRACKING_NOT_FOUND" });
    expect((await store.list(uri)).map(({ path }) => path)).toEqual(["real"]);
  });

  it("says what is missing, and does not leave half a file behind", async () => {
    await expect(store.read(uri, "none")).rejects.toMatchObject({ code: "TRACKING_NOT_FOUND" });
    await store.write(uri, "folder/x", "x");
    await expect(store.write(uri, "folder", "x")).rejects.toMatchObject({ code: "TRACKING_INVALID" });
    await expect(store.write(uri, "folder/x/y", "x")).rejects.toMatchObject({ code: "TRACKING_INVALID" });
    await expect(store.read(uri, "folder")).rejects.toMatchObject({ code: "TRACKING_INVALID" });
    await expect(store.read(uri, "folder/x/y")).rejects.toMatchObject({ code: "TRACKING_NOT_FOUND" });
    expect(readdirSync(join(store.root, ".incoming"))).toEqual([]);
  });
});
