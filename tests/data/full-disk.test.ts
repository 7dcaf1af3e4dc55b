import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { extractMembers } from "../../src/data/archive.ts";
import { download } from "../../src/data/download.ts";
import { floats } from "../../src/tensor/tensor.ts";
import { type Checkpoint, loadCheckpoint, saveCheckpoint } from "../../src/training/checkpoint.ts";
import { nothingYet } from "../../src/training/early-stopping.ts";

const disk = mkdtempSync(join(tmpdir(), "small-disk-"));
const elsewhere = mkdtempSync(join(tmpdir(), "large-disk-"));
const mounted = mountSmallDisk();
const large = 4 * 1024 ** 2;

/** A disk of 2 MiB: only root may, on Linux. */
function mountSmallDisk(): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

afterEach(() => {
  for (const name of readdirSync(disk)) rmSync(join(disk, name), { recursive: true });
});
afterAll(() => {
  if (mounted) execFileSync("umount", [disk]);
  rmdirSync(disk);
  rmSync(elsewhere, { recursive: true });
});

const checkpoint = (globalStep: number, values: number): Checkpoint => ({
  progress: {
    formatVersion: 1,
    fingerprint: "abc",
    epoch: 1,
    step: 0,
    globalStep,
    running: { loss: 0, correct: 0, images: 0, seconds: 0 },
    best: nothingYet,
  },
  state: { weight: floats([values], new Float32Array(values)) },
  bestWeights: {},
});

const title = mounted ? "a full disk" : "a full disk (skipped: this user can't mount a small one)";
describe.skipIf(!mounted)(title, () => {
  it("is told as such by unpacking, not as a damaged archive", async () => {
    const tar = pack();
    tar.entry({ name: "set/a.bin" }, randomBytes(large));
    tar.finalize();
    const archive = join(elsewhere, "a.tar.gz");
    writeFileSync(archive, gzipSync(await buffer(tar)));
    const members = new Map([["a.bin", large]]);
    await expect(extractMembers(archive, disk, { folder: "set", members, maxFreeBytes: 0 })).rejects.toMatchObject({
      code: "STORAGE_FAILED",
      message: expect.stringContaining("the disk is full"),
    });
  });

  it("is told as such by a download, at once", async () => {
    const server = createServer((_, response) => response.end(randomBytes(large)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a`;
    const checksum = { algorithm: "md5", hex: "00" } as const;
    await expect(download({ url, file: join(disk, "a"), checksum })).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    server.close();
  });

  it("leaves nothing of a checkpoint that does not fit, and the one before whole", async () => {
    await saveCheckpoint(disk, checkpoint(1, 1000));
    await expect(saveCheckpoint(disk, checkpoint(2, large / 4))).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    expect(readdirSync(disk)).toEqual(["last.safetensors"]);
    expect((await loadCheckpoint(disk)).checkpoint.progress.globalStep).toBe(1);
  });
});
