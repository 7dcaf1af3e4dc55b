import type { Dirent, Stats } from "node:fs";
import { readdir, readlink, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { isMissing } from "../base/durable.ts";
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
  /** How the parts were found and what was passed over, for people. */
  readonly description: string;
}

const imageEndings = /\.(png|jpe?g|jpe|jfif|webp|gif|bmp|avif)$/i;
const trainFolders = ["train", "training"] as const;
const testFolders = ["test", "testing", "val", "valid", "validation"] as const;
/** What systems, archives, network storage and editors leave behind. */
const litter =
  /^\.|~$|\.(bak|tmp|swp)$|^(thumbs\.db|desktop\.ini|__macosx|@eadir|#recycle|lost\+found|\$recycle\.bin|system volume information)$/i;
const maxFiles = 2_000_000;
const layout = "expected one sub-folder of images for each class, optionally under train/ and test/ (or val/)";

/**
 * Lists the images of a folder without opening them. One folder around all of it, as archives have, is seen through.
 * @throws DATA_UNAVAILABLE when the folder is not there, DATA_FOREIGN when it is built otherwise.
 */
export async function scanImageFolder(root: string): Promise<ImageFolderScan> {
  const skipped = new Skipped();
  const { base, top } = await unwrap(root, skipped);
  const trainFolder = named(top.folders, trainFolders);
  // A class may be called "train" too: a part is a folder of folders.
  const isPart = trainFolder !== undefined && (await list(join(base, trainFolder), new Skipped())).folders.length > 0;
  const inside = base === root ? "" : `in ${basename(base)}/, `;
  const described = (text: string): string => `${inside}${text}${skipped.description()}`;
  if (!isPart) {
    const { classes, images } = await listClasses(base, skipped);
    const description = described("seeded 80/20 split into training and test images");
    return { classes, train: images, test: undefined, description };
  }
  skipped.addFiles(base, top.files);
  const { classes, images } = await listClasses(join(base, trainFolder), skipped);
  const testFolder = named(top.folders, testFolders);
  if (testFolder === undefined) {
    const description = described(`${trainFolder}/ only: seeded 80/20 split into training and test images`);
    return { classes, train: images, test: undefined, description };
  }
  const unused = top.folders.filter((name) => name !== trainFolder && name !== testFolder);
  const rest = unused.length === 0 ? "" : `; not used: ${unused.join("/, ")}/`;
  const test = await listClasses(join(base, testFolder), skipped, classes);
  const description = described(`${trainFolder}/ and ${testFolder}/${rest}`);
  return { classes, train: images, test: test.images, description };
}

/** What was passed over, to be told once. */
class Skipped {
  readonly #litter = new Set<string>();
  readonly #notes: string[] = [];

  addLitter(path: string): void {
    this.#litter.add(path);
  }

  /** Files beside the class folders: a README, a list of labels. @throws DATA_FOREIGN when one is an image */
  addFiles(folder: string, files: readonly string[]): void {
    const image = files.find((name) => imageEndings.test(name));
    if (image !== undefined) {
      throw foreign(join(folder, image), "is an image outside the class folders: move it into the folder of its class");
    }
    this.#notes.push(...files);
  }

  description(): string {
    const shown = this.#notes.length > 3 ? [...this.#notes.slice(0, 3), "…"] : this.#notes;
    const parts = [
      ...(this.#litter.size === 0 ? [] : [`${this.#litter.size} left behind by a system or an editor`]),
      ...(this.#notes.length === 0 ? [] : [`${this.#notes.length} beside the classes (${shown.join(", ")})`]),
    ];
    return parts.length === 0 ? "" : `; passed over: ${parts.join(", ")}`;
  }
}

/** Through one folder that holds everything else, when that is no class itself. */
async function unwrap(root: string, skipped: Skipped): Promise<{ readonly base: string; readonly top: Listing }> {
  const top = await list(root, skipped);
  const [only] = top.folders;
  if (only === undefined || top.folders.length > 1 || named(top.folders, trainFolders) !== undefined) {
    return { base: root, top };
  }
  const base = join(root, only);
  const inner = await list(base, new Skipped());
  if (inner.folders.length === 0) return { base: root, top };
  skipped.addFiles(root, top.files);
  return { base, top: await list(base, skipped) };
}

/** The first of `wanted` that is there, in capital letters or small ones. */
function named(folders: readonly string[], wanted: readonly string[]): string | undefined {
  for (const name of wanted) {
    const found = folders.find((folder) => folder === name) ?? folders.find((folder) => folder.toLowerCase() === name);
    if (found !== undefined) return found;
  }
  return undefined;
}

interface ClassListing {
  readonly classes: readonly string[];
  readonly images: readonly ImageFile[];
}

/** @param known the classes that may occur; whatever is found by default */
async function listClasses(root: string, skipped: Skipped, known?: readonly string[]): Promise<ClassListing> {
  const { folders, files } = await list(root, skipped);
  skipped.addFiles(root, files);
  // Composed or decomposed letters, as systems write them, are the same name.
  const found = folders.map((folder) => folder.normalize("NFC"));
  const twice = found.find((name, i) => found.indexOf(name) !== i);
  if (twice !== undefined) {
    throw foreign(join(root, twice), "is there twice, with composed and with decomposed letters: put them together");
  }
  const classes = known ?? [...found].sort(byCodePoint);
  if (classes.length < 2) throw foreign(root, `has ${folders.length} class folders, at least 2 are needed`);
  const images: ImageFile[] = [];
  for (const name of folders) {
    const label = classes.indexOf(name.normalize("NFC"));
    const folder = join(root, name);
    if (label < 0) throw foreign(folder, "is a class that the training images do not have");
    const content = await list(folder, skipped);
    if (content.folders[0] !== undefined) throw foreign(join(folder, content.folders[0]), "is a folder inside a class");
    if (content.files.length === 0) throw foreign(folder, "has no images");
    for (const file of content.files) {
      const path = join(folder, file);
      if (!imageEndings.test(file)) throw foreign(path, "is not named as a PNG, JPEG, WebP, GIF, BMP or AVIF image");
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

/** Sorted names; what systems leave behind is passed over, links are followed. */
async function list(path: string, skipped: Skipped): Promise<Listing> {
  const folders: string[] = [];
  const files: string[] = [];
  for (const entry of await entriesOf(path)) {
    if (litter.test(entry.name)) {
      skipped.addLitter(join(path, entry.name));
      continue;
    }
    const type = entry.isSymbolicLink() ? await followLink(join(path, entry.name)) : entry;
    (type.isDirectory() ? folders : files).push(entry.name);
  }
  return { folders: folders.sort(byCodePoint), files: files.sort(byCodePoint) };
}

async function entriesOf(path: string): Promise<Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (cause) {
    throw new PipelineError("DATA_UNAVAILABLE", `cannot read the folder ${path}`, {
      remedy: "check dataset.source: the path and its permissions",
      cause,
    });
  }
}

async function followLink(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (cause) {
    if (!isMissing(cause) && (cause as NodeJS.ErrnoException).code !== "ELOOP") throw cause;
    const target = await readlink(path);
    throw new PipelineError("DATA_FOREIGN", `${path} is a link to ${target}, which is not there`, {
      remedy: "remove the link, or bring back what it points to",
      details: { file: path, target },
      cause,
    });
  }
}

/** The same on every machine, unlike a locale's order. */
function byCodePoint(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function foreign(path: string, problem: string): PipelineError {
  return new PipelineError("DATA_FOREIGN", `${path} ${problem}`, { remedy: layout, details: { file: path } });
}
