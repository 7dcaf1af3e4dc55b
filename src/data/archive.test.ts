import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ExtractOptions, extractMembers } from "./archive.ts";

/** set/a.bin ("hello\n") and set/names.txt ("one\ntwo\n"), by `tar` and `xz -9 --check=crc64`. */
const tinyXz =
  "/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4Cf/AJZdADmZSusgBJSzSsi80f5CS2M3itqtrQOjwgC7sZMKVqlyFv66apB6qoWrBVh31OZCefeCJNfDXBCz" +
  "YTzIXqI56f7TQthHcKM3VsW9TB3e26xVMoy5kMQDxvYO7D5ePKNNCQkJ4vHwwj3SZ2ghjh2JH2IGgQEBCYbcDu7+Kyzs5f6xaXVsweHtQrY0x3NOFczE" +
  "YBOnTZFqAAAAAAre0lUtGdFkAAGyAYBQAACY19IoscRn+wIAAAAABFla";
/** The same with `--check=sha256`, which the decoder does not know. */
const tinyXzSha256 =
  "/Td6WFoAAArh+wyhAgAhARwAAAAQz1jM4Cf/AJZdADmZSusgBJSzSsi80f5CS2M3itqtrQOjwgC7sZMKVqlyFv66apB6qoWrBVh31OZCefeCJNfDXBCz" +
  "YTzIXqI56f7TQthHcKM3VsW9TB3e26xVMoy5kMQDxvYO7D5ePKNNCQkJ4vHwwj3SZ2ghjh2JH2IGgQEBCYbcDu7+Kyzs5f6xaXVsweHtQrY0x3NOFczE" +
  "YBOnTZFqAAAAAG3NJg7eakw2XTc9moJ97Bbxe+OvDdHZigDUIls4yVVoAAHKAYBQAAA0WKPPtunfHAIAAAAAClla";

let root: string;
let archive: string;
let target: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "archive-"));
  archive = join(root, "x.tar");
  target = join(root, "a", "b", "target");
  await mkdir(target, { recursive: true });
});

afterEach(() => rm(root, { recursive: true, force: true }));

const options: ExtractOptions = {
  folder: "set",
  members: new Map([
    ["a.bin", 6],
    ["names.txt", undefined],
  ]),
  maxFreeBytes: 100,
};

type Member = readonly [name: string, content: string | Uint8Array];
const good: readonly Member[] = [
  ["set/a.bin", "hello\n"],
  ["set/names.txt", "one\ntwo\n"],
];

async function tarGz(members: readonly Member[]): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of members) tar.entry({ name }, Buffer.from(content));
  tar.finalize();
  return gzipSync(await buffer(tar));
}

async function extract(bytes: Uint8Array, changes: Partial<ExtractOptions> = {}): Promise<void> {
  await writeFile(archive, bytes);
  await extractMembers(archive, target, { ...options, ...changes });
}

describe("extractMembers", () => {
  it.each([
    ["tar.gz", () => tarGz(good)],
    ["tar.gz with ./ before the names", () => tarGz(good.map(([name, content]) => [`./${name}`, content]))],
    ["tar.gz without a folder", () => tarGz(good.map(([name, content]) => [name.slice(4), content]))],
    ["tar.xz", () => Buffer.from(tinyXz, "base64")],
  ])("unpacks %s, told by its content", async (_what, make) => {
    await extract(await make());
    expect((await readdir(target)).sort()).toEqual(["a.bin", "names.txt"]);
    expect(await readFile(join(target, "a.bin"), "utf8")).toBe("hello\n");
    expect(await readFile(join(target, "names.txt"), "utf8")).toBe("one\ntwo\n");
  });

  it("writes nothing outside of its folder, whatever the members are called", async () => {
    const evil: Member[] = [
      "../a.bin",
      "/a.bin",
      "set/../../a.bin",
      "set/sub/a.bin",
      "../../names.txt",
      "other.bin",
    ].map((name) => [name, "evil!\n"]);
    await extract(await tarGz([...evil, ...good]));
    expect((await readdir(root, { recursive: true })).sort()).toEqual(
      ["a", "a/b", "a/b/target", "a/b/target/a.bin", "a/b/target/names.txt", "x.tar"].sort(),
    );
    expect(await readFile(join(target, "a.bin"), "utf8")).toBe("hello\n");
  });

  it("does not follow links in the archive", async () => {
    const tar = pack();
    tar.entry({ name: "set/a.bin", type: "symlink", linkname: "/etc/passwd" });
    tar.finalize();
    await expect(extract(gzipSync(await buffer(tar)))).rejects.toThrow(/lacks/);
    expect(await readdir(target)).toEqual([]);
  });

  it.each([
    ["gzip", () => tarGz(good), 0.5],
    ["gzip, the last byte missing", () => tarGz(good), -1],
    ["xz", () => Buffer.from(tinyXz, "base64"), 0.5],
    ["xz, the last byte missing", () => Buffer.from(tinyXz, "base64"), -1],
  ])("refuses truncated %s", async (_what, make, cut) => {
    const bytes = await make();
    const end = cut < 0 ? bytes.length + cut : Math.floor(bytes.length * cut);
    await expect(extract(bytes.subarray(0, end))).rejects.toMatchObject({
      code: "DATA_CORRUPT",
      message: expect.stringMatching(/x\.tar cannot be unpacked \(near byte offset \d+\)/),
    });
  });

  it("refuses a tar that ends inside a member", async () => {
    const tar = pack();
    for (const [name, content] of good) tar.entry({ name }, Buffer.from(content));
    tar.finalize();
    const bytes = await buffer(tar);
    await expect(extract(gzipSync(bytes.subarray(0, 514)))).rejects.toMatchObject({ code: "DATA_CORRUPT" });
  });

  it("refuses altered xz data", async () => {
    const bytes = Buffer.from(tinyXz, "base64");
    bytes[100]! ^= 1;
    await expect(extract(bytes)).rejects.toMatchObject({ code: "DATA_CORRUPT" });
  });

  it("says what to do about an xz checksum that it cannot verify", async () => {
    await expect(extract(Buffer.from(tinyXzSha256, "base64"))).rejects.toThrow(/xz --check=crc64/);
  });

  it("refuses other files, wrong sizes, doubled and missing members", async () => {
    await expect(extract(Buffer.from("PK\u0003\u0004 zip"))).rejects.toMatchObject({
      code: "DATA_FOREIGN",
      message: expect.stringMatching(/neither gzip nor xz: byte offset 0 holds 504b0304/),
    });
    await expect(extract(await tarGz([["set/a.bin", "12345"]]))).rejects.toThrow(/a\.bin has 5 bytes, not 6/);
    await expect(extract(await tarGz([["set/names.txt", "x".repeat(101)]]))).rejects.toThrow(/more than 100/);
    await expect(extract(await tarGz([good[1]!, good[1]!]))).rejects.toThrow(/names\.txt twice/);
    await rm(join(target, "names.txt"), { force: true });
    await expect(extract(await tarGz([good[1]!]))).rejects.toMatchObject({
      code: "DATA_FOREIGN",
      message: expect.stringMatching(/lacks set\/a\.bin/),
    });
  });

  it("stops at a bomb", async () => {
    const bomb = await tarGz([["big", new Uint8Array(5_000_000)], ...good]);
    await expect(extract(bomb, { maxUnpackedBytes: 1_000_000 })).rejects.toThrow(/more than 1000000 bytes/);
  });

  it("can be stopped, and works again afterwards", async () => {
    const stop = new AbortController();
    const xz = Buffer.from(tinyXz, "base64");
    stop.abort();
    await expect(extract(xz, { signal: stop.signal })).rejects.toMatchObject({ name: "AbortError" });
    await extract(xz);
    expect(await readdir(target)).toHaveLength(2);
  });
});
