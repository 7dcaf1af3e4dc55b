import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { PipelineError } from "../base/errors.ts";

export interface ImageFile {
  readonly path: string;
  readonly label: number;
}

export interface ImageFolderScan {
  /** Names of the class folders in code point order. */
  readonly classes: readonly string[];
  readonly train: readonly ImageFile[];
  /** Undefined when the folder has no test part of its own. */
  readonly test: readonly ImageFile[] | undefined;
  /** How the parts were found, for people. */
  readonly description: string;
}

const imageEndings = /\.(png|jpe?g|webp|gif)$/i;
const testFolders = ["test", "val", "valid", "validation"] as const;
const maxFiles = 2_000_000;
const layout = "expected one sub-folder of images for each class, optionally under train/ and test/ (or val/)";

/**
 * Lists the images of a folder without opening them.
 * @throws DATA_UNAVAILABLE when the folder is not there, DATA_FOREIGN when it is built otherwise.
 */
export async function scanImageFolder(root: string): Promise<ImageFolderScan> {
  const top = await list(root);
  // A class may be called "train" too: a part is a folder of folders.
  if (!top.folders.includes("train") || (await list(join(root, "train"))).folders.length === 0) {
    const { classes, images } = await listClasses(root);
    return { classes, train: images, test: undefined, description: "seeded 80/20 split into training and test images" };
  }
  const { classes, images } = await listClasses(join(root, "train"));
  const testFolder = testFolders.find((name) => top.folders.includes(name));
  if (testFolder === undefined) {
    const description = "train/ only: seeded 80/20 split into training and test images";
    return { classes, train: images, test: undefined, description };
  }
  const unused = top.folders.filter((name) => name !== "train" && name !== testFolder);
  const rest = unused.length === 0 ? "" : `; not used: ${unused.join("/, ")}/`;
  const test = await listClasses(join(root, testFolder), classes);
  return { classes, train: images, test: test.images, description: `train/ and ${testFolder}/${rest}` };
}

interface ClassListing {
  readonly classes: readonly string[];
  readonly images: readonly ImageFile[];
}

/** @param known the classes that may occur; whatever is found by default */
async function listClasses(root: string, known?: readonly string[]): Promise<ClassListing> {
  const { folders, files } = await list(root);
  if (files[0] !== undefined) throw foreign(join(root, files[0]), "is a file among the class folders");
  const classes = known ?? folders;
  if (classes.length < 2) throw foreign(root, `has ${folders.length} class folders, at least 2 are needed`);
  const images: ImageFile[] = [];
  for (const name of folders) {
    const label = classes.indexOf(name);
    const folder = join(root, name);
    if (label < 0) throw foreign(folder, "is a class that the training images do not have");
    const content = await list(folder);
    if (content.folders[0] !== undefined) throw foreign(join(folder, content.folders[0]), "is a folder inside a class");
    if (content.files.length === 0) throw foreign(folder, "has no images");
    for (const file of content.files) {
      const path = join(folder, file);
      if (!imageEndings.test(file)) throw foreign(path, "is not named as a PNG, JPEG, WebP or GIF image");
      images.push({ path, label });
    }
    if (images.length > maxFiles) throw foreign(root, `has more than ${maxFiles} images`);
  }
  if (images.length === 0) throw foreign(root, "has no images");
  return { classes, images };
}

interface Listing {
  readonly folders: readonly string[];
  readonly files: readonly string[];
}

/** Sorted names; files that systems leave behind are passed over, links are followed. */
async function list(path: string): Promise<Listing> {
  const folders: string[] = [];
  const files: string[] = [];
  try {
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (entry.name.startsWith(".") || /^(thumbs\.db|desktop\.ini)$/i.test(entry.name)) continue;
      const type = entry.isSymbolicLink() ? await stat(join(path, entry.name)) : entry;
      (type.isDirectory() ? folders : files).push(entry.name);
    }
  } catch (cause) {
    throw new PipelineError("DATA_UNAVAILABLE", `cannot read the folder ${path}`, {
      remedy: "check dataset.source: the path and its permissions",
      cause,
    });
  }
  return { folders: folders.sort(byCodePoint), files: files.sort(byCodePoint) };
}

/** The same on every machine, unlike a locale's order. */
function byCodePoint(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function foreign(path: string, problem: string): PipelineError {
  return new PipelineError("DATA_FOREIGN", `${path} ${problem}`, { remedy: layout, details: { file: path } });
}
