import { randomBytes } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { manifestFile, readManifest } from "../../src/backup/manifest.ts";
import { restoreBackup } from "../../src/backup/restore-backup.ts";
import { replaceFile } from "../../src/base/durable.ts";
import { readBundle } from "../../src/inference/bundle.ts";
import { startTrackingServer } from "../../src/tracking/server/server.ts";
import { openSqlStore } from "../../src/tracking/sql/store.ts";
import { writeTinyBundle } from "../api/tiny-bundle.ts";
import { type CliResult, runCli, startCli } from "../cli/run-cli.ts";
import { mountSmallDisk } from "../small-disk.ts";
import { freePort, hasPrometheus, remedy, startPrometheus, waitFor } from "../stack/programs.ts";

vi.setConfig({ testTimeout: 120_000 });

const root = await mkdtemp(join(tmpdir(), "backup-"));
const disk = mountSmallDisk();
afterAll(async () => {
  disk.unmount();
  await rm(root, { recursive: true, force: true });
});

let places = 0;
async function newPlace(): Promise<string> {
  const place = join(root, `place-${places++}`);
  await mkdir(place);
  return place;
}

/** Nothing of this machine's own Prometheus. */
const offline = ["--without", "prometheus"];
const backup = (cwd: string, ...args: string[]): Promise<CliResult> => runCli(["backup", ...args], { cwd });
const restore = (cwd: string, ...args: string[]): Promise<CliResult> => runCli(["restore", ...args], { cwd });

function done({ code, stderr, stdout }: CliResult): string {
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return stdout;
}

/** A place with a model, an alert file of which only the owner may know, and a lock of a process. */
async function smallPlace(): Promise<string> {
  const place = await newPlace();
  await writeTinyBundle(join(place, "checkpoints", "models"));
  await mkdir(join(place, "monitoring"));
  await writeFile(join(place, "monitoring", "secret.yml"), "password: x\n", { mode: 0o600 });
  await mkdir(join(place, "runs"));
  await writeFile(join(place, "runs", "run.lock"), "1");
  await writeFile(join(place, "runs", "run.json"), "{}");
  return place;
}

async function contentOf(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    await Promise.all(
      files.map(async (file) => [file.slice(folder.length + 1), await readFile(file, "base64")] as const),
    ),
  );
}

describe("a backup under load", () => {
  it("has all that was acknowledged before it, and runs elsewhere", async () => {
    const place = await smallPlace();
    const checkpoint = join(place, "checkpoints", "last.safetensors");
    await writeFile(checkpoint, new Uint8Array(4_000_000));
    const server = await startTrackingServer({ port: 0, store: join(place, "runs", "tracking.sqlite") });
    const api = async (
      path: string,
      body: unknown,
    ): Promise<{ run: { info: { run_id: string; artifact_uri: string } } }> => {
      const call = { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
      const response = await fetch(`${server.url}/api/2.0/mlflow/${path}`, call);
      expect(response.status).toBe(200);
      return (await response.json()) as never;
    };
    const { info } = (await api("runs/create", { experiment_id: "0" })).run;
    const artifact = (step: number): string =>
      `/api/2.0/mlflow-artifacts/artifacts/${info.artifact_uri.replace(/^mlflow-artifacts:\/*/, "")}/${step}.txt`;
    const acknowledged = { metrics: 0, artifacts: 0 };
    let stopped = false;
    const writers = [
      (async () => {
        for (let step = 0; !stopped; step++) {
          await api("runs/log-metric", { run_id: info.run_id, key: "loss", value: step, step, timestamp: step });
          acknowledged.metrics++;
        }
      })(),
      (async () => {
        for (let step = 0; !stopped; step++) {
          const response = await fetch(server.url + artifact(step), { method: "PUT", body: `artifact ${step}` });
          expect(response.status).toBe(200);
          acknowledged.artifacts++;
        }
      })(),
      (async () => {
        // Each version has one byte throughout: a mixture would show.
        for (let version = 1; !stopped; version++) {
          await replaceFile(checkpoint, new Uint8Array(4_000_000).fill(version));
          await sleep(5);
        }
      })(),
    ];
    await waitFor("writes", () => acknowledged.metrics > 50 && acknowledged.artifacts > 50);
    const before = { ...acknowledged };
    const stdout = done(await backup(place, "saved", ...offline));
    expect(stdout).toMatch(/runs +\d+ files/);
    expect(acknowledged.metrics).toBeGreaterThan(before.metrics);
    stopped = true;
    await Promise.all(writers);
    await server.close();

    const elsewhere = await newPlace();
    done(await restore(elsewhere, join(place, "saved")));
    const store = join(elsewhere, "runs", "tracking.sqlite");
    {
      await using restored = await openSqlStore({ path: store });
      const steps = new Set<number>();
      for (let pageToken: string | undefined; ; ) {
        const page = await restored.getMetricHistory(info.run_id, "loss", {
          maxResults: 1000,
          ...(pageToken === undefined ? {} : { pageToken }),
        });
        for (const { step } of page.items) steps.add(step);
        pageToken = page.nextPageToken;
        if (pageToken === undefined) break;
      }
      for (let step = 0; step < before.metrics; step++) expect(steps.has(step), `metric ${step}`).toBe(true);
    }
    await using again = await startTrackingServer({ port: 0, store });
    for (let step = 0; step < before.artifacts; step++) {
      expect(await (await fetch(again.url + artifact(step))).text()).toBe(`artifact ${step}`);
    }
    const bytes = await readFile(join(elsewhere, "checkpoints", "last.safetensors"));
    expect(bytes.length).toBe(4_000_000);
    expect(bytes.every((byte) => byte === bytes[0])).toBe(true);
    const [bundle] = await readdir(join(elsewhere, "checkpoints", "models"));
    await readBundle(join(elsewhere, "checkpoints", "models", bundle!));
    expect(await readdir(join(elsewhere, "runs"))).not.toContain("run.lock");
    expect((await stat(join(elsewhere, "monitoring", "secret.yml"))).mode & 0o777).toBe(0o600);
    expect((await stat(join(place, "saved"))).mode & 0o077).toBe(0);
  });

  it.skipIf(!hasPrometheus)(`has what Prometheus has measured${hasPrometheus ? "" : ` (${remedy})`}`, async () => {
    const place = await newPlace();
    const storage = join(place, "runs", "stack", "prometheus");
    await mkdir(storage, { recursive: true });
    const port = await freePort();
    const config = join(place, "prometheus.yml");
    const url = `http://127.0.0.1:${port}`;
    await writeFile(
      config,
      `global: {scrape_interval: 1s}\nscrape_configs: [{job_name: itself, static_configs: [{targets: ["127.0.0.1:${port}"]}]}]\n`,
    );
    const ask = async (query: string): Promise<readonly { readonly value: readonly [number, string] }[]> => {
      const response = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(query)}`);
      return ((await response.json()) as { data: { result: { value: [number, string] }[] } }).data.result;
    };
    const saved = join(place, "saved");
    let measuredAt = 0;
    {
      await using _running = await startPrometheus({ config, storage, port, flags: ["--web.enable-admin-api"] });
      const found = await waitFor("a sample", async () => (await ask("timestamp(up)"))[0]);
      measuredAt = Number(found.value[1]);
      await waitFor("some more", async () => Number((await ask("timestamp(up)"))[0]!.value[1]) > measuredAt + 1);
      done(await backup(place, saved, "--prometheus", url));
      expect(await readdir(join(storage, "snapshots"))).toEqual([]);
    }
    const paths = (await readManifest(saved)).files.map(({ path }) => path);
    expect(paths.some((path) => /^prometheus\/\w{26}\/index$/.test(path))).toBe(true);
    expect(paths.filter((path) => path.startsWith("runs/stack/prometheus"))).toEqual([]);

    const elsewhere = await newPlace();
    done(await restore(elsewhere, saved));
    const restored = join(elsewhere, "runs", "stack", "prometheus");
    await writeFile(config, "global: {}\n");
    await using _again = await startPrometheus({ config, storage: restored, port });
    expect((await ask(`count_over_time(up[1h] @ ${measuredAt + 0.001})`))[0]?.value[1]).toMatch(/^[1-9]/);
  });

  it.skipIf(!hasPrometheus)(
    `says what Prometheus lacks for a snapshot${hasPrometheus ? "" : ` (${remedy})`}`,
    async () => {
      const place = await newPlace();
      const storage = join(place, "runs", "stack", "prometheus");
      await mkdir(storage, { recursive: true });
      const port = await freePort();
      const config = join(place, "prometheus.yml");
      await writeFile(config, "global: {}\n");
      await using _running = await startPrometheus({ config, storage, port });
      const { code, stderr } = await backup(place, "saved", "--prometheus", `http://127.0.0.1:${port}`);
      expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining("--web.enable-admin-api") });
      expect(await readdir(place)).toEqual(["prometheus.yml", "runs"]);
    },
  );
});

describe("restoring", () => {
  let sound: Promise<string>;
  beforeAll(() => {
    sound = smallPlace().then(async (place) => {
      done(await backup(place, "saved", ...offline));
      return join(place, "saved");
    });
  });

  it("changes nothing where everything is there already, and refuses what is in the way", async () => {
    const place = await smallPlace();
    done(await backup(place, "saved", ...offline));
    done(await backup(place, "again/", ...offline));
    done(await restore(await newPlace(), join(place, "again/"), "--runs", "runs/"));
    expect(done(await restore(place, "saved"))).toMatch(/checkpoints: 2 files unchanged in checkpoints/);
    await writeFile(join(place, "runs", "run.json"), "{ }");
    const before = await contentOf(place);
    const refused = await restore(place, "saved");
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/RESTORE_REFUSED/);
    expect(await contentOf(place)).toEqual(before);
    const stdout = done(await restore(place, "saved", "--force"));
    const [, aside] = /runs: 1 files restored in runs; what was there is now (\S+)/.exec(stdout) ?? [];
    expect(await readFile(join(place, "runs", "run.json"), "utf8")).toBe("{}");
    expect(await readFile(join(aside!, "run.json"), "utf8")).toBe("{ }");
  });

  it.each<[string, (saved: string) => Promise<void>]>([
    ["a changed byte", (saved) => writeFile(join(saved, "runs", "run.json"), "[]")],
    ["a file that is cut off", (saved) => truncate(join(saved, "runs", "run.json"), 1)],
    ["a missing file", (saved) => rm(join(saved, "runs", "run.json"))],
    ["no manifest", (saved) => rm(join(saved, manifestFile))],
    ["half a manifest", (saved) => truncate(join(saved, manifestFile), 100)],
    [
      "a link",
      async (saved) => {
        await writeFile(join(saved, "x"), "{}");
        await rm(join(saved, "runs", "run.json"));
        await symlink(join(saved, "x"), join(saved, "runs", "run.json"));
      },
    ],
    ...["runs/../../x", "/etc/x", "runs", "runs//x", "elsewhere/x", "runs/./x", "runs/\\..\\x"].map(
      (path): [string, (saved: string) => Promise<void>] => [
        `the path ${path}`,
        async (saved) => {
          const manifest = JSON.parse(await readFile(join(saved, manifestFile), "utf8"));
          manifest.files[0].path = path;
          await writeFile(join(saved, manifestFile), JSON.stringify(manifest));
        },
      ],
    ),
  ])("finds %s before it changes anything", async (_, spoil) => {
    const source = join(await newPlace(), "saved");
    await cp(await sound, source, { recursive: true });
    await spoil(source);
    const elsewhere = await newPlace();
    const targets = {
      checkpoints: join(elsewhere, "checkpoints"),
      runs: join(elsewhere, "runs"),
      prometheus: join(elsewhere, "runs", "stack", "prometheus"),
      monitoring: join(elsewhere, "monitoring"),
      config: join(elsewhere, "config"),
    };
    await expect(restoreBackup({ source, targets, force: false })).rejects.toMatchObject({ code: "BACKUP_DAMAGED" });
    expect(await readdir(elsewhere)).toEqual([]);
  });

  it("tells of a damaged backup and fails", async () => {
    const source = join(await newPlace(), "saved");
    await cp(await sound, source, { recursive: true });
    await truncate(join(source, manifestFile), 100);
    const { code, stderr } = await restore(await newPlace(), source);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining("BACKUP_DAMAGED") });
  });
});

describe("an end in the middle", () => {
  /** Large enough that a copy of it is met on the way. */
  async function largePlace(): Promise<string> {
    const place = await smallPlace();
    await writeFile(join(place, "runs", "large.bin"), randomBytes(1_000_000));
    await truncate(join(place, "runs", "large.bin"), 600_000_000);
    return place;
  }

  it.each(["SIGKILL", "SIGTERM"] as const)(
    "by %s leaves no backup under its name, and the next one works",
    async (signal) => {
      const place = await largePlace();
      const { child, ended } = startCli(["backup", "saved", ...offline], { cwd: place });
      await waitFor("a copy", async () => (await readdir(place)).some((name) => name.endsWith(".partial")));
      child.kill(signal);
      const { code } = await ended;
      expect(code).toBe(signal === "SIGKILL" ? null : 130);
      expect(await readdir(place)).not.toContain("saved");
      if (signal === "SIGTERM") expect((await readdir(place)).filter((name) => name.endsWith(".partial"))).toEqual([]);
      await rm(join(place, "runs", "large.bin"));
      done(await backup(place, "saved", ...offline));
    },
  );

  it("of a restore is gone on from", async () => {
    const place = await largePlace();
    done(await backup(place, "saved", ...offline));
    const elsewhere = await newPlace();
    const { child, ended } = startCli(["restore", join(place, "saved")], { cwd: elsewhere });
    await waitFor("a copy", async () => (await readdir(elsewhere)).some((name) => name.startsWith("runs.")));
    child.kill("SIGKILL");
    await ended;
    expect(await readdir(elsewhere)).not.toContain("runs");
    const stdout = done(await restore(elsewhere, join(place, "saved")));
    expect(stdout).toMatch(/checkpoints: 2 files unchanged/);
    expect(stdout).toMatch(/runs: 2 files restored/);
  });
});

const title = disk.isMounted ? "a full disk" : "a full disk (skipped: this user can't mount a small one)";
describe.skipIf(!disk.isMounted)(title, () => {
  it("is told as such, by both, and keeps no half of either", async () => {
    const place = await smallPlace();
    await writeFile(join(place, "runs", "large.bin"), randomBytes(3_000_000));
    const target = join(disk.path, "saved");
    const failed = await backup(place, target, ...offline);
    expect({ code: failed.code, stderr: failed.stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/the disk is full[\s\S]*STORAGE_FAILED/),
    });
    expect(await readdir(disk.path)).toEqual([]);
    done(await backup(place, "saved", ...offline));
    const { code, stderr } = await restore(disk.path, join(place, "saved"));
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining("the disk is full") });
    expect((await readdir(disk.path)).filter((name) => name.startsWith("runs"))).toEqual([]);
  });
});

it.skipIf(!disk.isMounted)("keeps a restore on a volume within it", async () => {
  const place = await smallPlace();
  done(await backup(place, "saved", ...offline));
  const elsewhere = await newPlace();
  const onVolume = ["--runs", disk.path];
  for (const name of await readdir(disk.path)) await rm(join(disk.path, name), { recursive: true });
  done(await restore(elsewhere, join(place, "saved"), ...onVolume));
  expect(await contentOf(disk.path)).toEqual(await contentOf(join(place, "saved", "runs")));
  await writeFile(join(disk.path, "run.json"), "other");
  const stdout = done(await restore(elsewhere, join(place, "saved"), ...onVolume, "--force"));
  const [, aside] = /what was there is now (\S+)/.exec(stdout) ?? [];
  expect(await readFile(join(aside!, "run.json"), "utf8")).toBe("other");
  expect(await readFile(join(disk.path, "run.json"), "utf8")).toBe("{}");
});
