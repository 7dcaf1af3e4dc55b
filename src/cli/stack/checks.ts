import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

export interface StackUrls {
  readonly api: string;
  readonly prometheus: string;
  readonly alertmanager: string;
  readonly grafana: string;
}

export interface StackCheck {
  readonly name: string;
  readonly status: "ok" | "missing" | "problem";
  readonly detail: string;
}

const ready: Readonly<Record<keyof StackUrls, string>> = {
  api: "/health",
  prometheus: "/-/ready",
  alertmanager: "/-/ready",
  grafana: "/api/health",
};

/** Whether each service answers. Only Grafana can be done without. */
export function checkServices(urls: StackUrls): Promise<StackCheck[]> {
  return Promise.all(
    (Object.keys(ready) as (keyof StackUrls)[]).map((name) => {
      return check(name, name === "grafana" ? "missing" : "problem", async () => {
        await get(`${urls[name]}${ready[name]}`);
        return urls[name];
      });
    }),
  );
}

/** The whole test: services, targets, rules, datasource, every query of every dashboard, a test alert. */
export async function checkStack(urls: StackUrls, dashboardsFolder: string): Promise<StackCheck[]> {
  const services = await checkServices(urls);
  const grafana = services.find(({ name }) => name === "grafana")?.status === "ok";
  return [
    ...services,
    await check("targets", "problem", async () => {
      const { data } = targets.parse(await getJson(`${urls.prometheus}/api/v1/targets?state=active`));
      const down = data.activeTargets.filter(({ health }) => health !== "up");
      if (down.length > 0)
        throw new Error(down.map(({ scrapeUrl, lastError }) => `${scrapeUrl}: ${lastError}`).join("; "));
      if (!data.activeTargets.some(({ labels }) => labels.job === "cifar10-api"))
        throw new Error("the API is no target");
      return `${data.activeTargets.length} up`;
    }),
    await check("rules", "problem", async () => {
      const { data } = rules.parse(await getJson(`${urls.prometheus}/api/v1/rules`));
      const all = data.groups.flatMap((group) => group.rules);
      const bad = all.filter(({ health }) => health === "err");
      if (bad.length > 0 || all.length === 0) throw new Error(`${bad.length} of ${all.length} can't be evaluated`);
      return `${all.length} are evaluated`;
    }),
    ...(grafana
      ? [
          await check("datasource", "problem", async () => {
            await get(`${urls.grafana}/api/datasources/uid/prometheus/health`);
            return "Grafana reaches Prometheus";
          }),
        ]
      : []),
    await check("dashboard queries", "problem", () => checkDashboards(urls.prometheus, dashboardsFolder)),
    await check("test alert", "problem", async () => {
      const answer = testAnswer.parse(await getJson(`${urls.api}/alerts/test`, { method: "POST" }));
      if (answer.ok) return answer.message;
      throw new Error(
        [answer.message, ...answer.checks.filter(({ ok }) => !ok).map(({ message }) => message)].join("; "),
      );
    }),
  ];
}

const targets = z.object({
  data: z.object({
    activeTargets: z.array(
      z.object({
        scrapeUrl: z.string(),
        health: z.string(),
        lastError: z.string(),
        labels: z.record(z.string(), z.string()),
      }),
    ),
  }),
});
const rules = z.object({
  data: z.object({ groups: z.array(z.object({ rules: z.array(z.object({ health: z.string() })) })) }),
});
const testAnswer = z.object({
  ok: z.boolean(),
  message: z.string(),
  checks: z.array(z.object({ ok: z.boolean(), message: z.string() })),
});
const dashboardFile = z.object({
  panels: z.array(
    z.object({
      title: z.string(),
      description: z.string().optional(),
      targets: z.array(z.object({ expr: z.string() })).optional(),
    }),
  ),
});
const result = z.object({ data: z.object({ result: z.array(z.unknown()) }) });

/** Panels that say so may be empty: without GPU, feedback, tuning. Every other one has data, and all are valid. */
async function checkDashboards(prometheus: string, folder: string): Promise<string> {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".json"));
  const empty: string[] = [];
  let queries = 0;
  for (const file of files) {
    const { panels } = dashboardFile.parse(JSON.parse(await readFile(join(folder, file), "utf8")));
    for (const { title, description = "", targets: wanted = [] } of panels) {
      for (const { expr } of wanted) {
        queries++;
        const answer = result.parse(await getJson(`${prometheus}/api/v1/query?query=${encodeURIComponent(expr)}`));
        if (answer.data.result.length === 0 && !/\bempty\b/i.test(description)) empty.push(`${file}: ${title}`);
      }
    }
  }
  if (empty.length > 0) throw new Error(`without data: ${[...new Set(empty)].join(", ")}`);
  return `${queries} queries of ${files.length} dashboards`;
}

async function check(name: string, otherwise: "missing" | "problem", work: () => Promise<string>): Promise<StackCheck> {
  try {
    return { name, status: "ok", detail: await work() };
  } catch (error) {
    return { name, status: otherwise, detail: error instanceof Error ? error.message : String(error) };
  }
}

async function get(url: string, init: RequestInit = {}): Promise<string> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, signal: AbortSignal.timeout(30_000) });
  } catch (cause) {
    throw new Error(`${url} does not answer`, { cause });
  }
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text.slice(0, 200)}`);
  return text;
}

async function getJson(url: string, init?: RequestInit): Promise<unknown> {
  return JSON.parse(await get(url, init));
}
