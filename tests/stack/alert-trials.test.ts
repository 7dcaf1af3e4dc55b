import { execFile, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, posix, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { monitoringSection } from "../../src/config/sections/monitoring.ts";
import { monitoring, startAlertApp } from "./alert-app.ts";
import { startMailSink } from "./mail-sink.ts";
import {
  freePort,
  hasAlertmanager,
  hasPrometheus,
  remedy,
  startAlertmanager,
  startProgram,
  startPrometheus,
  waitFor,
} from "./programs.ts";

// What users of such programs have met: hostile values, passwords that an edit loses, files that a mount freezes.
vi.setConfig({ testTimeout: 180_000 });

const root = fileURLToPath(new URL("../../", import.meta.url));
const run = promisify(execFile);
const here = hasPrometheus && hasAlertmanager;

describe("hostile values", () => {
  const addresses = [
    "a@b.c\nBcc: x@y.z",
    "a@b.c\r\nBcc: x@y.z",
    "a@b.c\\nBcc: x@y.z",
    "a@example.com, x@example.org",
    "a@example.com; x@example.org",
    "Name <a@example.com>",
    '"quoted"@example.com',
    "{{ .ExternalURL }}@example.com",
    "a@example.com # comment",
    "a@example.com'",
    "a@@example.com",
    "@example.com",
    "a@",
    "",
    " ",
    "a\u0000@example.com",
    "a@example.com\u2028",
    `${"a".repeat(300)}@example.com`,
    null,
    7,
    ["a@example.com"],
  ];
  const thresholds = [
    '{"cpu_threshold": NaN}',
    '{"cpu_threshold": "NaN"}',
    '{"cpu_threshold": "1 or vector(1)"}',
    '{"cpu_threshold": "85"}',
    '{"cpu_threshold": 1e999}',
    '{"cpu_threshold": -1e999}',
    '{"cpu_threshold": -1}',
    '{"cpu_threshold": 100.1}',
    '{"cpu_threshold": null}',
    '{"cpu_threshold": true}',
    '{"cpu_threshold": [80]}',
    '{"cpu_threshold": {"value": 80}}',
    '{"response_time_threshold": 0}',
    '{"confidence_threshold": 60}',
    '{"cpu_threshold": 80, "alert": "x"}',
    '{"__proto__": {"cpu_threshold": 80}}',
    '{"constructor": 1}',
    '{"cpu_threshold": 80',
    "[]",
    "{}",
    "null",
    "",
  ];
  const requests = [
    ...addresses.map((address) => ["/alerts/recipients", JSON.stringify(["a@example.com", address])] as const),
    ...addresses.map((address) => ["/alerts/recipients", JSON.stringify({ critical: [address] })] as const),
    ["/alerts/recipients", '{"__proto__": ["a@example.com"]}'] as const,
    ["/alerts/recipients", '{"critical\\"": ["a@example.com"]}'] as const,
    ["/alerts/recipients", '{"critical": []}'] as const,
    ...thresholds.map((text) => ["/alerts/thresholds", text] as const),
  ];

  it("are refused with 400, and no byte of a file changes", async () => {
    await using app = await startAlertApp();
    const all = (): Record<string, string> =>
      Object.fromEntries(
        [app.rules, app.alertmanager].flatMap((file) =>
          readdirSync(dirname(file), { recursive: true, withFileTypes: true })
            .filter((entry) => entry.isFile())
            .map((entry) => join(entry.parentPath, entry.name))
            .map((path) => [path, readFileSync(path, "latin1")]),
        ),
      );
    const before = all();
    const answers = [];
    for (const [path, text] of requests) answers.push({ path, text, status: (await app.post(path, text)).status });
    expect(answers.filter(({ status }) => status !== 400)).toEqual([]);
    expect(all()).toEqual(before);
    // The same app takes what is right.
    expect((await app.post("/alerts/thresholds", '{"cpu_threshold": 8.5e1}')).status).toBe(200);
    expect(await readFile(app.rules, "utf8")).toContain("max(system_cpu_usage_percent) > 85\n");
  });
});

/** A user's own file: secrets of every kind, comments everywhere, quoting of every kind. */
const userFile = (source: string): string =>
  source
    .replace(
      "  smtp_require_tls: false\n",
      [
        "  smtp_require_tls: false # inside the network",
        "  smtp_auth_username: 'alerts'",
        '  smtp_auth_password: "p@ss \\"word\\" # <secret>" # rotated in May',
        "  slack_api_url: https://hooks.example.com/services/T0/B0/very-secret",
        "",
      ].join("\n"),
    )
    .replace("to: oncall@example.com\n", "to: 'oncall@example.com' # Ann's week\n")
    .replace(
      "receivers:\n",
      [
        "receivers:",
        "  # The team's chat, by hand.",
        "  - name: chat",
        "    slack_configs:",
        "      - channel: '#alerts'",
        "    webhook_configs:",
        "      - url: http://user:hook-secret@127.0.0.1:9/",
        "",
      ].join("\n"),
    );

describe("an edit of the recipients", () => {
  it("leaves every other byte, passwords and comments too", async () => {
    await using app = await startAlertApp();
    const before = userFile(await readFile(app.alertmanager, "utf8"));
    await writeFile(app.alertmanager, before);
    expect(await app.post("/alerts/recipients", { critical: ["night@example.org"] })).toMatchObject({
      status: 200,
      body: { recipients: { critical: ["night@example.org"], warning: ["team@example.com"] } },
    });
    const expected = before
      .replace("to: 'oncall@example.com' # Ann's week", 'to: "night@example.org" # Ann\'s week')
      .replace("to: oncall@example.com, team@example.com", 'to: "night@example.org, team@example.com"');
    expect(await readFile(app.alertmanager, "utf8")).toBe(expected);
    expect(expected).toContain('smtp_auth_password: "p@ss \\"word\\" # <secret>" # rotated in May');
  });

  it("tells no secret: not in an answer, not in the log", async () => {
    await using app = await startAlertApp();
    await writeFile(app.alertmanager, userFile(await readFile(app.alertmanager, "utf8")));
    const answers = [
      await app.get("/alerts/config"),
      await app.get("/alerts/test"),
      await app.post("/alerts/recipients", ["night@example.org"]),
      await app.post("/alerts/recipients", { minor: ["night@example.org"] }),
    ];
    expect(JSON.stringify([answers, app.lines])).not.toMatch(/p@ss|very-secret|hook-secret/);
    expect(answers[0]!.body).toMatchObject({ smtp: { authenticated: true } });
  });

  it.skipIf(!here)(
    `goes by the file and not by what Alertmanager shows of it${here ? "" : ` (${remedy})`}`,
    async () => {
      const port = await freePort();
      await using app = await startAlertApp({ alertmanagerUrl: `http://127.0.0.1:${port}` });
      const before = userFile(await readFile(app.alertmanager, "utf8"));
      await writeFile(app.alertmanager, before);
      await using _alertmanager = await startAlertmanager({
        config: app.alertmanager,
        storage: join(app.folder, "silences"),
        port,
      });
      for (const address of ["one@example.org", "two@example.org"]) {
        expect((await app.post("/alerts/recipients", [address])).body).toMatchObject({ change: { in_force: true } });
      }
      // Alertmanager itself shows `<secret>`: that must never reach the file.
      expect(await (await fetch(`http://127.0.0.1:${port}/api/v2/status`)).text()).toMatch(
        /smtp_auth_password: .{0,8}secret/,
      );
      const after = await readFile(app.alertmanager, "utf8");
      const without = (text: string) => text.replace(/^ +- to: .*$/gm, "");
      expect(without(after)).toBe(without(before));
      expect(after.match(/two@example\.org/g)).toHaveLength(3);
    },
  );
});

describe("the files of the repository", () => {
  it("hold no secret", () => {
    const files = readdirSync(monitoring, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const entry of files) {
      const text = readFileSync(join(entry.parentPath, entry.name), "utf8").replace(/^\s*#.*$/gm, "");
      expect(text, entry.name).not.toMatch(/smtp_auth_password:|slack_api_url:|bearer_token:|basic_auth/);
    }
  });

  it.skipIf(!here)(`pass promtool and amtool${here ? "" : ` (${remedy})`}`, async () => {
    const prometheus = join(monitoring, "prometheus", "prometheus.yml");
    await run("promtool", ["check", "config", prometheus]);
    await run("amtool", ["check-config", join(monitoring, "alertmanager", "alertmanager.yml")]);
  });
});

interface Compose {
  readonly services: Readonly<Record<string, { readonly volumes?: readonly string[] }>>;
}

describe("the containers", () => {
  const compose = ["docker-compose.yml", "docker-compose.override.yml", "docker-compose.prod.yml"].map(
    (name) => parse(readFileSync(join(root, name), "utf8"), { logLevel: "error" }) as Compose,
  );
  const mounts = compose.flatMap(({ services }) =>
    Object.entries(services).flatMap(([service, { volumes = [] }]) =>
      volumes
        .filter((volume) => volume.startsWith("."))
        .map((volume) => {
          const [from = "", to = "", mode = "rw"] = volume.split(":");
          return { service, from: resolve(root, from), to, mode };
        }),
    ),
  );

  it("mount folders alone: a file would keep its old content when another takes its name", () => {
    expect(mounts.length).toBeGreaterThan(7);
    // What is not there yet becomes a folder.
    expect(mounts.filter(({ from }) => existsSync(from) && !statSync(from).isDirectory())).toEqual([]);
  });

  it.each([
    ["prometheus", monitoringSection.parse({}).rules_file],
    ["alertmanager", monitoringSection.parse({}).alertmanager_file],
  ])("of the API and of %s share the folder of the file that the API changes", (service, file) => {
    const path = posix.join("/app", file);
    const writer = mounts.find((mount) => mount.service === "cifar-api" && path.startsWith(`${mount.to}/`));
    expect(writer).toMatchObject({ mode: "rw", from: dirname(join(root, file)) });
    expect(mounts.find((mount) => mount.service === service)).toMatchObject({ from: writer!.from });
  });
});

async function replaceIn(path: string, from: string, to: string): Promise<void> {
  await writeFile(path, (await readFile(path, "utf8")).replaceAll(from, to));
}

/** Mounting needs rights that not everybody has. */
const canMount = spawnSync("unshare", ["--mount", "true"]).status === 0;
const mountRemedy = "not run: needs Prometheus and the right to mount, as root has it";

describe.skipIf(!here || !canMount)(`a folder that is mounted${here && canMount ? "" : ` (${mountRemedy})`}`, () => {
  it("shows Prometheus each new file, as in the containers", async () => {
    const port = await freePort();
    await using app = await startAlertApp({ prometheusUrl: `http://127.0.0.1:${port}` });
    const mounted = join(app.folder, "etc-prometheus");
    await mkdir(mounted);
    const script = [
      'mount --make-rprivate / && mount --bind "$1" "$2" && mount -o remount,bind,ro "$2" &&',
      'exec prometheus --config.file="$2/prometheus.yml" --storage.tsdb.path="$3" --web.listen-address="$4"',
      "--web.enable-lifecycle",
    ].join(" ");
    const args = [dirname(app.rules), mounted, join(app.folder, "tsdb"), `127.0.0.1:${port}`];
    await using _prometheus = await startProgram(
      "unshare",
      ["--mount", "sh", "-c", script, "sh", ...args],
      `http://127.0.0.1:${port}/-/ready`,
    );
    for (const value of [61, 62]) {
      expect((await app.post("/alerts/thresholds", { cpu_threshold: value })).body).toMatchObject({
        change: { outcome: "applied", in_force: true },
      });
      const rules = (await (await fetch(`http://127.0.0.1:${port}/api/v1/rules?type=alert`)).json()) as {
        data: { groups: { file: string; rules: { query: string }[] }[] };
      };
      const queries = rules.data.groups.flatMap((group) => group.rules.map(({ query }) => query));
      expect(queries).toContain(`max(system_cpu_usage_percent) > ${value}`);
      expect(rules.data.groups[0]!.file).toBe(join(mounted, "alert_rules.yml"));
    }
  });
});

describe.skipIf(!here)(`the specification's examples${here ? "" : ` (${remedy})`}`, () => {
  const examples: Readonly<Record<string, string>> = {
    recipients: String.raw`curl -X POST "http://localhost:8000/alerts/recipients" \
     -H "Content-Type: application/json" \
     -d '["your-email@example.com", "team@example.com"]'`,
    thresholds: String.raw`curl -X POST "http://localhost:8000/alerts/thresholds" \
     -H "Content-Type: application/json" \
     -d '{
       "cpu_threshold": 85,
       "memory_threshold": 75,
       "error_rate_threshold": 30
     }'`,
    check: "curl http://localhost:8000/alerts/test",
    send: "curl -X POST http://localhost:8000/alerts/test",
  };

  it("work as they are written", async () => {
    const [prometheusPort, alertmanagerPort] = [await freePort(), await freePort()];
    await using sink = await startMailSink();
    await using app = await startAlertApp({
      prometheusUrl: `http://127.0.0.1:${prometheusPort}`,
      alertmanagerUrl: `http://127.0.0.1:${alertmanagerPort}`,
    });
    const config = join(dirname(app.rules), "prometheus.yml");
    await replaceIn(config, "alertmanager:9093", `127.0.0.1:${alertmanagerPort}`);
    await replaceIn(app.alertmanager, "mail:1025", sink.address);
    const storage = (name: string) => join(app.folder, name);
    await using _alertmanager = await startAlertmanager({
      config: app.alertmanager,
      storage: storage("silences"),
      port: alertmanagerPort,
    });
    await using _prometheus = await startPrometheus({ config, storage: storage("tsdb"), port: prometheusPort });
    const curl = async (name: string): Promise<Record<string, unknown>> => {
      const command = examples[name]!.replace("http://localhost:8000", app.url);
      const { stdout } = await run("bash", ["-c", command.replace("curl ", "curl --silent --show-error --fail ")]);
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    const everybody = ["your-email@example.com", "team@example.com"];
    expect(await curl("recipients")).toMatchObject({
      recipients: { critical: everybody, warning: everybody },
      change: { outcome: "applied", in_force: true, unverified: [] },
    });
    expect(await curl("thresholds")).toMatchObject({
      thresholds: { cpu_threshold: 85, memory_threshold: 75, error_rate_threshold: 30, disk_threshold: 50 },
      change: { outcome: "applied", in_force: true, unverified: [] },
      sources: { thresholds: { cpu_threshold: { alert: "HighCPUUsage", line: expect.any(Number) } } },
    });
    await waitFor("all well", async () => (await curl("check")).ok);
    expect(await curl("send")).toMatchObject({ ok: true, checks: [{ ok: true }, { ok: true }] });
    const mail = await sink.find(
      "the test alert",
      ({ headers }) => headers.subject?.includes("CifarTestAlert") === true,
    );
    expect(mail.to).toEqual([...everybody].sort());
  });
});
