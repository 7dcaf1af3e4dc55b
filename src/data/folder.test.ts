import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readImageFolder } from "./folder.ts";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "folder-"));
});

afterEach(() => rm(root, { recursive: true, force: true }));

type Colour = { readonly r: number; readonly g: number; readonly b: number };

async function image(path: string, background: Colour, side = 8): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await sharp({ create: { width: side, height: side, channels: 3, background } }).toFile(join(root, path));
}

const red = { r: 255, g: 0, b: 0 };
const blue = { r: 0, g: 0, b: 255 };

async function classes(prefix: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await image(`${prefix}red/${i}.png`, { ...red, g: i });
    await image(`${prefix}blue/${i}.png`, { ...blue, g: i });
  }
}

describe("readImageFolder", () => {
  it("takes class folders and splits them 80/20 by class, saying so", async () => {
    await classes("", 10);
    const dataset = await readImageFolder(root, { imgSize: 4 });
    expect(dataset).toMatchObject({ name: "folder", synthetic: false, classes: ["blue", "red"], height: 4, width: 4 });
    expect(dataset.origin).toMatch(/seeded 80\/20 split/);
    expect([dataset.train.count, dataset.test.count]).toEqual([16, 4]);
    expect([...dataset.test.labels].sort()).toEqual([0, 0, 1, 1]);
    dataset.train.labels.forEach((label, i) => {
      const [r, g, b] = [0, 1, 2].map((channel) => dataset.train.images[(i * 3 + channel) * 16]!);
      expect([r, b]).toEqual(label === 1 ? [255, 0] : [0, 255]);
      expect(g).toBeLessThan(10);
    });
    expect((await readImageFolder(root, { imgSize: 4 })).digest).toBe(dataset.digest);
    expect((await readImageFolder(root, { imgSize: 4, seed: 1 })).digest).not.toBe(dataset.digest);
  });

  it("takes train/ and val/ as they are; a class may be called train", async () => {
    await classes("train/", 3);
    await classes("val/", 2);
    await image("train/train/x.jpg", blue);
    const dataset = await readImageFolder(root);
    expect([dataset.train.count, dataset.test.count]).toEqual([7, 4]);
    expect(dataset.classes).toEqual(["blue", "red", "train"]);
    expect(dataset.origin).toMatch(/train\/ and val\//);
  });

  it("limit decodes a sample of all classes, not the first class alone", async () => {
    await classes("train/", 20);
    await classes("test/", 1);
    const { train, test } = await readImageFolder(root, { limit: 12 });
    expect([train.count, test.count]).toEqual([12, 2]);
    expect(new Set(train.labels).size).toBe(2);
  });

  it("names a truncated image", async () => {
    await classes("", 5);
    const path = join(root, "red", "2.png");
    await truncate(path, (await readFile(path)).length - 20);
    await expect(readImageFolder(root)).rejects.toMatchObject({
      code: "DATA_CORRUPT",
      message: expect.stringContaining(path),
    });
  });

  it("does not decode SVG under another name", async () => {
    await classes("", 5);
    await writeFile(join(root, "red", "9.png"), '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    await expect(readImageFolder(root)).rejects.toThrow(/9\.png.*no image of a supported format/);
  });

  it.each([
    ["a file among the classes", "notes.txt", /notes\.txt is a file among/],
    ["a file that is no image", "red/notes.txt", /notes\.txt is not named as/],
    ["a folder inside a class", "red/deep/x.png", /deep is a folder inside/],
  ])("refuses %s", async (_what, path, message) => {
    await classes("", 2);
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), "x");
    await expect(readImageFolder(root)).rejects.toMatchObject({
      code: "DATA_FOREIGN",
      message: expect.stringMatching(message),
    });
  });

  it("refuses test classes that are not trained, single classes and missing folders", async () => {
    await image("train/red/a.png", red);
    await expect(readImageFolder(root)).rejects.toThrow(/at least 2 are needed/);
    await image("train/blue/a.png", blue);
    await image("test/green/a.png", blue);
    await expect(readImageFolder(root)).rejects.toThrow(/green is a class that the training images do not have/);
    await expect(readImageFolder(join(root, "nowhere"))).rejects.toMatchObject({ code: "DATA_UNAVAILABLE" });
  });

  it("passes over the files that systems leave behind", async () => {
    await classes("", 2);
    await writeFile(join(root, ".DS_Store"), "x");
    await writeFile(join(root, "red", "Thumbs.db"), "x");
    expect((await readImageFolder(root)).classes).toEqual(["blue", "red"]);
  });
});
