import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fastifyStatic from "@fastify/static";
import type { FastifyPluginAsync } from "fastify";

const pageFolder = new URL("../page/", import.meta.url);
const charts = join(dirname(createRequire(import.meta.url).resolve("uplot/package.json")), "dist");

const pages = { "/": "index.html", "/dashboard": "dashboard.html" } as const;

/** GET /, GET /dashboard and their files below /page/, the chart library as its package has it: static, so that the strict content security policy holds. */
export const pageRoutes = (): FastifyPluginAsync => {
  return async (app) => {
    for (const [url, file] of Object.entries(pages)) {
      const html = await readFile(new URL(file, pageFolder), "utf8");
      app.route({
        method: "GET",
        url,
        schema: { hide: true },
        handler: async (_request, reply) =>
          reply.type("text/html; charset=utf-8").header("cache-control", "no-cache").send(html),
      });
    }
    app.route({
      method: "GET",
      url: "/favicon.ico",
      schema: { hide: true },
      handler: async (_request, reply) => reply.redirect("/page/icon.svg", 302),
    });
    await app.register(fastifyStatic, { ...files, root: fileURLToPath(pageFolder), prefix: "/page/" });
    await app.register(fastifyStatic, { ...files, root: charts, prefix: "/page/uplot/", decorateReply: false });
  };
};

const files = {
  index: false,
  // Files keep their names between versions: let the browser ask whether they changed.
  cacheControl: false,
  setHeaders: (reply: { header(name: string, value: string): unknown }) => {
    reply.header("cache-control", "no-cache");
  },
} as const;
