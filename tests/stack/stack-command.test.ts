import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { tinyMetadata, writeTinyBundle } from "../api/tiny-bundle.ts";
import { runCli, startCli } from "../cli/run-cli.ts";
import { startMailSink } from "./mail-sink.ts";
import { freePort, hasAlertmanager, hasPrometheus, remedy, waitFor } from "./programs.ts";

vi.setConfig({ testTimeout: 240_000 });

const source = fileURLToPath(new URL("../../monitoring", import.meta.url));
const here = hasPrometheus && hasAlertmanager;

interface Report {
  readonly healthy: boolean;
  readonly checks: readonly { readonly name: string; readonly status: string; readonly detail: string }[];
}

describe.skipIf(!here)(`cifar stack${here ? "" : ` (${remedy})`}`, () => {
  it("starts the real programs, and with some traffic every query of every dashboard has data and a mail arrives", async () => {
    const root = await mkdtemp(join(tmpdir(), "stack-command-"));
    onTestFinished(() => rm(root, { recursive: true, force: true }));
    const samples = {
      probabilities: Array.from({ length: 50 }, (_, i) => Array.from({ length: 10 }, (_, c) => ((i * c) % 7) / 42)),
      features: Array.from({ length: 50 }, (_, i) => Array.from({ length: 15 }, (_, d) => Math.sin(i * (d + 1)))),
    };
    const { directory } = await writeTinyBundle(join(root, "models"), {
      reference: { ...tinyMetadata().reference, samples },
    });
    const sink = await startMailSink();
    onTestFinished(() => sink[Symbol.asyncDispose]());
    const url = async (): Promise<string> => `http://127.0.0.1:${await freePort()}`;
    const urls = { api: await url(), prometheus: await url(), alertmanager: await url(), grafana: await url() };
    const addresses = Object.entries(urls).flatMap(([name, address]) => [`--${name}`, address]);
    await cp(source, join(root, "monitoring"), { recursive: true });
    const env = { SMTP_SMARTHOST: sink.address, SMTP_REQUIRE_TLS: "false" };

    let isUp = false;
    const stack = startCli(["stack", "up", ...addresses, "--no-docker"], {
      cwd: root,
      env,
      onLine: (line) => {
        isUp ||= line === "Ctrl-C stops";
      },
    });
    onTestFinished(() => void stack.child.kill("SIGTERM"));
    await waitFor("the stack", () => isUp || stack.child.exitCode !== null);
    expect(stack.child.exitCode).toBeNull();
    const settings = [
      `monitoring.prometheus_url=${urls.prometheus}`,
      `monitoring.alertmanager_url=${urls.alertmanager}`,
      "monitoring.alertmanager_file=runs/stack/alertmanager.yml",
      "monitoring.drift.interval_seconds=1",
    ].flatMap((setting) => ["--set", setting]);
    const { port } = new URL(urls.api);
    const api = startCli(["serve", "--model", directory, "--port", port, ...settings], { cwd: root });
    onTestFinished(() => void api.child.kill("SIGTERM"));
    await waitFor("the API", async () => (await fetch(`${urls.api}/health`).catch(() => undefined))?.ok);

    const traffic = await runCli(["traffic", "--url", urls.api, "--requests", "150", "--rate", "50", "--json"], {
      cwd: root,
    });
    expect(traffic.code, traffic.stderr).toBe(0);
    let last: Report | undefined;
    await waitFor(
      "a healthy stack",
      async () => {
        const { stdout } = await runCli(["stack", "test", ...addresses, "--json"], { cwd: root });
        last = JSON.parse(stdout) as Report;
        return last.healthy;
      },
      150,
    ).catch((error: unknown) => {
      throw new Error(JSON.stringify(last?.checks.filter(({ status }) => status !== "ok")), { cause: error });
    });
    const statuses = Object.fromEntries(last!.checks.map(({ name, status }) => [name, status]));
    expect(statuses).toEqual({
      ...{ api: "ok", prometheus: "ok", alertmanager: "ok", grafana: "missing" },
      ...{ targets: "ok", rules: "ok", "dashboard queries": "ok", "test alert": "ok" },
    });
    await sink.find("the mail of the test alert", ({ headers }) => /test/i.test(headers.subject ?? ""), 120);
    const status = await runCli(["stack", "status", ...addresses], { cwd: root });
    expect(status.code, status.stdout).toBe(0);

    stack.child.kill("SIGTERM");
    const { stderr } = await stack.ended;
    expect(stderr).toContain("stopped");
    for (const part of [urls.prometheus, urls.alertmanager]) await expect(fetch(part)).rejects.toThrow("fetch failed");
    const after = await runCli(["stack", "test", ...addresses], { cwd: root });
    expect(after.code).toBe(1);
    expect(after.stdout).toMatch(/PROBLEM +prometheus/);
  });
});
