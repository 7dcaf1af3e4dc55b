import { mkdir, mkdtemp, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
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

  it("goes by the names of the folders where the test images lack a class", async () => {
    const colours = [0, 80, 160, 240];
    for (const g of colours) await image(`train/c${g}/a.png`, { ...red, g });
    for (const g of colours.slice(1)) await image(`val/c${g}/a.png`, { ...red, g });
    const { classes: names, train, test } = await readImageFolder(root, { imgSize: 4 });
    expect(names).toEqual(["c0", "c160", "c240", "c80"]);
    for (const { count, labels, images } of [train, test]) {
      for (let i = 0; i < count; i++) expect(names[labels[i]!]).toBe(`c${images[(i * 3 + 1) * 16]}`);
    }
    expect([train.count, test.count]).toEqual([4, 3]);
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
    ["an image among the classes", "x.png", /x\.png is an image outside the class folders/],
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

  it("passes over what systems, archives and editors leave behind, and papers at the root, and tells it once", async () => {
    await classes("", 5);
    for (const folder of ["__MACOSX", "@eaDir", "lost+found"]) await mkdir(join(root, folder));
    await mkdir(join(root, "red", "@eaDir"));
    await writeFile(join(root, "red", "0.png~"), "x");
    for (const name of ["README.md", "labels.txt"]) await writeFile(join(root, name), "x");
    const dataset = await readImageFolder(root);
    expect(dataset.classes).toEqual(["blue", "red"]);
    expect(dataset.train.count + dataset.test.count).toBe(10);
    expect(dataset.origin).toContain(
      "passed over: 5 left behind by a system or an editor, 2 beside the classes (README.md, labels.txt)",
    );
  });

  it("reads JPEGs by every usual ending", async () => {
    await classes("", 2);
    for (const ending of ["jpg", "JPEG", "jpe", "jfif"]) {
      await image("red/x.jpg", red);
      await rename(join(root, "red/x.jpg"), join(root, `red/x-${ending}.${ending}`));
    }
    const { train, test } = await readImageFolder(root);
    expect(train.count + test.count).toBe(8);
  });

  it.each([
    ["Train", "Test"],
    ["training", "testing"],
    ["TRAIN", "Validation"],
  ])("takes %s/ and %s/ as the parts, also within one folder around them", async (train, test) => {
    await classes(`pets-1.0/${train}/`, 3);
    await classes(`pets-1.0/${test}/`, 2);
    for (const path of [root, join(root, "pets-1.0")]) {
      const dataset = await readImageFolder(path);
      expect([dataset.train.count, dataset.test.count]).toEqual([6, 4]);
      expect(dataset.classes).toEqual(["blue", "red"]);
    }
  });

  it("takes composed and decomposed letters as the same class", async () => {
    await image("train/caf\u00e9/a.png", red);
    await image("train/dog/a.png", blue);
    await image("test/cafe\u0301/a.png", red);
    const dataset = await readImageFolder(root);
    expect(dataset.classes).toEqual(["caf\u00e9", "dog"]);
    expect([...dataset.test.labels]).toEqual([0]);
    await image("train/cafe\u0301/b.png", red);
    await expect(readImageFolder(root)).rejects.toThrow(/is there twice/);
  });

  it("names a link that leads nowhere", async () => {
    await classes("", 2);
    await symlink("/nowhere/x.png", join(root, "red", "zz.png"));
    await expect(readImageFolder(root)).rejects.toMatchObject({
      code: "DATA_FOREIGN",
      message: expect.stringMatching(/zz\.png is a link to \/nowhere\/x\.png, which is not there/),
    });
  });
});
