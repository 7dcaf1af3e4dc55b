import { cp, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { parse } from "yaml";
import { AlertmanagerFile } from "../../observability/alerts/alertmanager-file.ts";
import { type StackFiles, writeStackFiles } from "./stack-files.ts";

const monitoring = fileURLToPath(new URL("../../../monitoring", import.meta.url));
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "stack-files-"));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  await cp(monitoring, join(root, "monitoring"), { recursive: true });
});

const write = (prometheus = "127.0.0.1:9090", smarthost = "127.0.0.1:1025"): Promise<StackFiles> =>
  writeStackFiles({
    source: join(root, "monitoring"),
    target: join(root, "run"),
    addresses: { apis: ["127.0.0.1:8000"], prometheus, alertmanager: "127.0.0.1:9093" },
    smtp: { smarthost, requireTls: false },
  });

const read = (path: string) => readFile(path, "utf8");
const edit = async (path: string, change: (text: string) => string) => writeFile(path, change(await read(path)));

it("are written anew with new addresses as long as nobody has touched them", async () => {
  const files = await write();
  expect(await read(files.prometheus)).toContain("127.0.0.1:9090");
  expect((await stat(files.alertmanager)).mode & 0o777).toBe(0o600);
  expect(await write("127.0.0.1:9999", "mail.example.com:25")).toEqual({ ...files, kept: [] });
  expect(await read(files.prometheus)).toContain("127.0.0.1:9999");
  expect(await read(files.alertmanager)).toContain("smtp_smarthost: mail.example.com:25");
});

it("keep the recipients that the API has set, and follow the project in all else", async () => {
  const files = await write();
  await edit(files.alertmanager, (text) =>
    new AlertmanagerFile(text).withRecipients({ critical: ["night@example.org"] }),
  );
  await edit(join(root, "monitoring", "alertmanager", "alertmanager.yml"), (text) =>
    text.replace("repeat_interval: 4h", "repeat_interval: 3h"),
  );
  expect((await write()).kept).toEqual([]);
  const text = await read(files.alertmanager);
  expect(new AlertmanagerFile(text).recipients).toMatchObject({ critical: ["night@example.org"] });
  expect(text).toContain("repeat_interval: 3h");
});

it("stay as they are when somebody has changed them by hand, comments too, and the new ones lie beside them", async () => {
  const files = await write();
  await edit(
    files.alertmanager,
    (text) => `${text.replace("repeat_interval: 4h", "repeat_interval: 2h # mine")}# end\n`,
  );
  await edit(files.prometheus, (text) => `# mine\n${text}`);
  const before = [await read(files.alertmanager), await read(files.prometheus)];
  for (let i = 0; i < 2; i++) {
    expect((await write("127.0.0.1:9999", "mail.example.com:25")).kept).toEqual([files.prometheus, files.alertmanager]);
    expect([await read(files.alertmanager), await read(files.prometheus)]).toEqual(before);
  }
  expect(await read(`${files.prometheus}.generated`)).toContain("127.0.0.1:9999");
});

it("never touch the rules: the project's own file is loaded, with whatever was changed in it", async () => {
  const rules = join(root, "monitoring", "prometheus", "alert_rules.yml");
  await edit(rules, (text) => `# mine\n${text}`);
  const before = await read(rules);
  const files = await write();
  expect(files.rules).toBe(rules);
  expect(await read(files.prometheus)).toContain(rules);
  expect(await read(rules)).toBe(before);
});

it("tell where the project can be read, for the links to the runbooks", async () => {
  const options = {
    ...{ source: join(root, "monitoring"), target: join(root, "linked") },
    addresses: { apis: ["127.0.0.1:8000"], prometheus: "127.0.0.1:9090", alertmanager: "127.0.0.1:9093" },
    smtp: { smarthost: "127.0.0.1:1025", requireTls: false },
  };
  const { prometheus } = await writeStackFiles(options);
  // For the alerts, and for Grafana's panels.
  const told = async (): Promise<unknown[]> => {
    const { global, scrape_configs: jobs } = parse(await read(prometheus));
    const own = jobs.find((job: { job_name: string }) => job.job_name === "prometheus");
    expect(own.static_configs[0].targets).toEqual(["127.0.0.1:9090"]);
    return [global.external_labels.project_url, own.static_configs[0].labels.project_url];
  };
  expect(await told()).toEqual(["", ""]);
  await writeStackFiles({ ...options, projectUrl: "https://git.example.com/cifar" });
  expect(await told()).toEqual(["https://git.example.com/cifar/", "https://git.example.com/cifar/"]);
});
