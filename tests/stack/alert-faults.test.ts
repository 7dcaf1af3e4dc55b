import { appendFile, chmod, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { type AlertApp, type Answer, failing, obedient, slow, startAlertApp, startFakeProgram } from "./alert-app.ts";
import {
  freePort,
  hasAlertmanager,
  hasPrometheus,
  type Program,
  remedy,
  startAlertmanager,
  startPrometheus,
  waitFor,
} from "./programs.ts";

// Whatever Prometheus and Alertmanager do, the API goes on, says what it could not verify, and loses no edit.
vi.setConfig({ testTimeout: 180_000 });

interface Change {
  readonly outcome: string;
  readonly in_force: boolean;
  readonly unverified: readonly string[];
}

const changeOf = ({ body }: Answer): Change => body.change as Change;

/** A change of each file: the part that hears of it, and the number or address that has to be in the file. */
const changes = [
  { part: "Prometheus", file: "rules", path: "/alerts/thresholds", body: { cpu_threshold: 61 }, text: "> 61" },
  {
    part: "Alertmanager",
    file: "alertmanager",
    path: "/alerts/recipients",
    body: { critical: ["night@example.org"] },
    text: '"night@example.org"',
  },
] as const;

async function expectAlive(app: AlertApp): Promise<void> {
  for (const path of ["/health/live", "/alerts/config"]) expect((await app.get(path)).status).toBe(200);
}

describe.each(changes)("$part", ({ part, file, path, body, text }) => {
  const isBlamed = expect.stringContaining(part);

  it("unreachable: the change stays and is said to be unverified", async () => {
    const gone = `http://127.0.0.1:${await freePort()}`;
    await using app = await startAlertApp({ prometheusUrl: gone, alertmanagerUrl: gone });
    const answer = await app.post(path, body);
    expect(answer.status).toBe(200);
    expect(changeOf(answer)).toMatchObject({ outcome: "applied", in_force: false });
    expect(changeOf(answer).unverified).toContainEqual(expect.stringMatching(`${part} at ${gone} does not answer`));
    expect(await readFile(app[file], "utf8")).toContain(text);
    const { body: check } = await app.get("/alerts/test");
    expect(check).toMatchObject({ ok: false });
    expect(check.checks).toContainEqual({ name: part.toLowerCase(), ok: false, message: isBlamed });
    expect((await app.post("/alerts/test", {})).body).toMatchObject({ ok: false });
    await expectAlive(app);
  });

  it("slow: the answer comes long before the program's, and the API answers others meanwhile", async () => {
    await using program = await startFakeProgram(slow);
    await using app = await startAlertApp({
      prometheusUrl: program.url,
      alertmanagerUrl: program.url,
      answerTimeoutMs: 1500,
    });
    let answered = false;
    const asked = app.post(path, body).finally(() => {
      answered = true;
    });
    await expectAlive(app);
    expect(answered).toBe(false);
    const answer = await asked;
    expect(answer.status).toBe(200);
    expect(changeOf(answer)).toMatchObject({ outcome: "applied", in_force: false });
    expect(changeOf(answer).unverified).toContainEqual(expect.stringMatching(/does not answer in time/));
    expect(await readFile(app[file], "utf8")).toContain(text);
  });

  it("slow: changes that queue behind each other are all kept", async () => {
    await using program = await startFakeProgram(slow);
    await using app = await startAlertApp({
      prometheusUrl: program.url,
      alertmanagerUrl: program.url,
      answerTimeoutMs: 1500,
    });
    const answers = await Promise.all([
      app.post("/alerts/thresholds", { cpu_threshold: 61 }),
      app.post("/alerts/thresholds", { memory_threshold: 62 }),
      app.post("/alerts/recipients", { critical: ["a@example.org"] }),
      app.post("/alerts/recipients", { warning: ["b@example.org"] }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect((await app.get("/alerts/config")).body).toMatchObject({
      thresholds: { cpu_threshold: 61, memory_threshold: 62 },
      recipients: { critical: ["a@example.org"], warning: ["b@example.org"] },
    });
  });

  it("answers 500 to the reload: the file is put back, and the answer says so", async () => {
    await using program = await startFakeProgram(failing(500));
    await using app = await startAlertApp({ prometheusUrl: program.url, alertmanagerUrl: program.url });
    const before = await readFile(app[file], "utf8");
    const answer = await app.post(path, body);
    expect(answer).toMatchObject({ status: 503, body: { code: "ALERT_CHANGE_FAILED" } });
    expect(answer.body.message).toMatch(`the old file is back but not loaded: ${part} answered 500 to /-/reload`);
    expect(await readFile(app[file], "utf8")).toBe(before);
    await expectAlive(app);
  });

  it("answers 503 while it starts: the change stays and is said to be unverified", async () => {
    await using program = await startFakeProgram(failing(503));
    await using app = await startAlertApp({ prometheusUrl: program.url, alertmanagerUrl: program.url });
    const answer = await app.post(path, body);
    expect(answer.status).toBe(200);
    expect(changeOf(answer)).toMatchObject({ in_force: false });
    expect(await readFile(app[file], "utf8")).toContain(text);
  });

  it.each([
    ["500", failing(500)],
    ["something else than JSON", ((_, response) => void response.end("<html>")) satisfies typeof slow],
    ["JSON of another form", ((_, response) => void response.end('{"data":[]}')) satisfies typeof slow],
  ])("takes the reload and then answers %s: the change stays and is said to be unverified", async (_, behave) => {
    await using program = await startFakeProgram((request, response) => {
      if (request.method === "POST") response.end("OK");
      else behave(request, response);
    });
    await using app = await startAlertApp({
      prometheusUrl: program.url,
      alertmanagerUrl: program.url,
      reloadTimeoutMs: 1000,
    });
    const answer = await app.post(path, body);
    expect(answer.status).toBe(200);
    expect(changeOf(answer)).toMatchObject({ outcome: "applied", in_force: false });
    expect(changeOf(answer).unverified).toContainEqual(
      expect.stringMatching(`${part}.*could not be asked what it runs`),
    );
    expect(await readFile(app[file], "utf8")).toContain(text);
    // The same change once more, when it is well again: now it is known to be in force.
    program.behave = obedient(app);
    expect(changeOf(await app.post(path, body))).toMatchObject({ outcome: "unchanged", in_force: true });
  });

  it("takes the reload and goes on with something else: the file is put back", async () => {
    await using program = await startFakeProgram(() => undefined);
    await using app = await startAlertApp({
      prometheusUrl: program.url,
      alertmanagerUrl: program.url,
      reloadTimeoutMs: 1000,
    });
    const before = await readFile(app[file], "utf8");
    const old = { rules: join(app.folder, "old.yml"), alertmanager: join(app.folder, "old.yml") };
    await writeFile(old[file], before);
    program.behave = obedient(old);
    const answer = await app.post(path, body);
    expect(answer).toMatchObject({ status: 503, body: { code: "ALERT_CHANGE_FAILED" } });
    expect(answer.body.message).toMatch(/the old one is back and loaded: (Prometheus|Alertmanager) has (an)?other/);
    expect(await readFile(app[file], "utf8")).toBe(before);
  });

  it("an edit by hand during the change is noticed and kept, also when the change is put back", async () => {
    await using program = await startFakeProgram(() => undefined);
    await using app = await startAlertApp({
      prometheusUrl: program.url,
      alertmanagerUrl: program.url,
      reloadTimeoutMs: 1000,
    });
    const before = await readFile(app[file], "utf8");
    let reloads = 0;
    program.behave = (request, response) => {
      if (request.method !== "POST") return obedient(app)(request, response);
      reloads++;
      // Refuses the new file; somebody adds a comment at that moment.
      if (reloads > 1) return void response.end("OK");
      void appendFile(app[file], "# by hand\n").then(() => response.writeHead(500).end("refused"));
    };
    const answer = await app.post(path, body);
    expect(answer).toMatchObject({ status: 503, body: { code: "ALERT_CHANGE_FAILED" } });
    expect(answer.body.message).toContain(
      "the old one is back with what somebody else has changed meanwhile and loaded",
    );
    const now = await readFile(app[file], "utf8");
    expect(now.endsWith("# by hand\n")).toBe(true);
    expect(now).not.toContain(text);
    // The value is as before, whatever the quotes around it are.
    expect(now.replaceAll('"', "")).toBe(`${before.replaceAll('"', "")}# by hand\n`);
  });

  it("keeps who may read the file, whole and as a candidate", async () => {
    await using app = await startAlertApp();
    await chmod(app[file], 0o600);
    await app.post(path, body);
    expect((await stat(app[file])).mode & 0o777).toBe(0o600);
  });
});

describe("every change", () => {
  it("is logged with who, when, from what to what and how it ended", async () => {
    await using program = await startFakeProgram(() => undefined);
    await using app = await startAlertApp({
      prometheusUrl: program.url,
      alertmanagerUrl: program.url,
      reloadTimeoutMs: 1000,
    });
    program.behave = obedient(app);
    await app.post("/alerts/thresholds", { cpu_threshold: 61, disk_threshold: 20 });
    await app.post("/alerts/recipients", { warning: ["new@example.org"] });
    program.behave = failing(500);
    await app.post("/alerts/thresholds", { cpu_threshold: 62 });
    await app.post("/alerts/recipients", { minor: ["new@example.org"] });
    const lines = app.lines.filter(({ msg }) => msg.startsWith("alert configuration"));
    const actor = { name: "127.0.0.1", requestId: expect.any(String) };
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    const all = { channel: "system", actor, time };
    expect(lines).toMatchObject([
      {
        ...all,
        level: "info",
        change: "thresholds",
        from: { cpu_threshold: 80, disk_threshold: 50 },
        to: { cpu_threshold: 61, disk_threshold: 20 },
        outcome: "applied",
        inForce: true,
      },
      {
        ...all,
        change: "recipients",
        from: { warning: ["team@example.com"] },
        to: { warning: ["new@example.org"] },
      },
      {
        ...all,
        level: "warn",
        msg: "alert configuration not changed",
        from: { cpu_threshold: 61 },
        to: { cpu_threshold: 62 },
        err: { code: "ALERT_CHANGE_FAILED" },
      },
      { ...all, level: "warn", to: { minor: ["new@example.org"] }, err: { code: "REQUEST_INVALID" } },
    ]);
    expect((await fetch(`${app.url}/metrics`).then((response) => response.text())).match(/^alert_config.*$/gm)).toEqual(
      [
        'alert_config_changes_total{outcome="applied"} 2',
        'alert_config_changes_total{outcome="rejected"} 1',
        'alert_config_changes_total{outcome="rolled_back"} 1',
      ],
    );
  });

  it("is one of many at once: all are in the file, and none is torn", async () => {
    await using app = await startAlertApp();
    const names = ["cpu_threshold", "memory_threshold", "disk_threshold", "error_rate_threshold", "queue_threshold"];
    const answers = await Promise.all(names.map((name, i) => app.post("/alerts/thresholds", { [name]: 21 + i })));
    expect(answers.map(({ status }) => status)).toEqual(names.map(() => 200));
    const { thresholds } = (await app.get("/alerts/config")).body as { thresholds: Record<string, number> };
    expect(names.map((name) => thresholds[name])).toEqual([21, 22, 23, 24, 25]);
  });
});

const here = hasPrometheus && hasAlertmanager;

describe.skipIf(!here)(`the real programs${here ? "" : ` (${remedy})`}`, () => {
  it("killed and started again: changes meanwhile are kept, said to be unverified, and in force after the start", async () => {
    const [prometheusPort, alertmanagerPort] = [await freePort(), await freePort()];
    const urls = {
      prometheusUrl: `http://127.0.0.1:${prometheusPort}`,
      alertmanagerUrl: `http://127.0.0.1:${alertmanagerPort}`,
    };
    await using app = await startAlertApp(urls);
    const startAll = async (): Promise<readonly Program[]> => [
      await startPrometheus({
        config: join(dirname(app.rules), "prometheus.yml"),
        storage: join(app.folder, "tsdb"),
        port: prometheusPort,
      }),
      await startAlertmanager({
        config: app.alertmanager,
        storage: join(app.folder, "silences"),
        port: alertmanagerPort,
      }),
    ];
    const running = async (): Promise<string> => {
      const rules = await (await fetch(`${urls.prometheusUrl}/api/v1/rules?type=alert`)).text();
      return `${/max\(system_cpu_usage_percent\) (?:>|\\u003e) \d+/.exec(rules)?.[0].replace("\\u003e", ">")}`;
    };
    const recipientsRunning = async () => (await fetch(`${urls.alertmanagerUrl}/api/v2/status`)).text();
    let programs = await startAll();
    try {
      // Twice, each time seen by the real program: every change is a rename in the folder.
      for (const value of [61, 62]) {
        expect(changeOf(await app.post("/alerts/thresholds", { cpu_threshold: value }))).toMatchObject({
          outcome: "applied",
          in_force: true,
          unverified: [],
        });
        expect(await running()).toBe(`max(system_cpu_usage_percent) > ${value}`);
      }
      expect(changeOf(await app.post("/alerts/recipients", { critical: ["one@example.org"] })).in_force).toBe(true);
      expect(await recipientsRunning()).toContain("one@example.org");

      const gone = programs.map(({ child }) => new Promise((resolve) => child.once("close", resolve)));
      for (const { child } of programs) child.kill("SIGKILL");
      await Promise.all(gone);
      for (const { path, body, part } of changes) {
        const answer = await app.post(path, body);
        expect(answer.status).toBe(200);
        expect(changeOf(answer)).toMatchObject({ in_force: false });
        expect(changeOf(answer).unverified[0]).toContain(`${part} at http://127.0.0.1`);
      }
      await expectAlive(app);

      programs = await startAll();
      expect(await running()).toBe("max(system_cpu_usage_percent) > 61");
      expect(await recipientsRunning()).toContain("night@example.org");
      const check = async () => {
        const { checks } = (await app.get("/alerts/test")).body as { checks: { name: string; ok: boolean }[] };
        return checks.filter(({ ok }) => ok).map(({ name }) => name);
      };
      await waitFor("both well again", async () => (await check()).includes("alertmanager"));
      // Prometheus' own Alertmanager has another name in this file, so that only the rules are looked at.
      for (const { path, body } of changes) {
        expect(changeOf(await app.post(path, body))).toMatchObject({ outcome: "unchanged", in_force: true });
      }

      // Stopped in the middle: neither dead nor answering.
      for (const { child } of programs) child.kill("SIGSTOP");
      const stuck = await app.post("/alerts/thresholds", { cpu_threshold: 63 });
      expect(changeOf(stuck)).toMatchObject({ outcome: "applied", in_force: false });
      for (const { child } of programs) child.kill("SIGCONT");
      await waitFor("loaded after all", async () => (await running()).endsWith("> 63"));
    } finally {
      for (const { child } of programs) child.kill("SIGCONT");
      await Promise.all(programs.map((program) => program[Symbol.asyncDispose]()));
    }
  });
});
