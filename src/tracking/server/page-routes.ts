import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fastifyStatic from "@fastify/static";
import type { FastifyPluginAsync } from "fastify";

const pageFolder = new URL("../ui/", import.meta.url);
const plots = dirname(createRequire(import.meta.url).resolve("uplot/package.json"));

/** The page at / and its files below /page/; the chart library as its package has it. */
export function pageRoutes(): FastifyPluginAsync {
  return async (app) => {
    const html = await readFile(new URL("index.html", pageFolder), "utf8");
    app.get("/", async (_request, reply) =>
      reply.type("text/html; charset=utf-8").header("cache-control", "no-cache").send(html),
    );
    app.get("/favicon.ico", async (_request, reply) => reply.redirect("/page/icon.svg", 302));
    const files = { index: false, cacheControl: false, setHeaders: revalidate } as const;
    await app.register(fastifyStatic, { ...files, root: fileURLToPath(pageFolder), prefix: "/page/" });
    await app.register(fastifyStatic, {
      ...files,
      root: join(plots, "dist"),
      prefix: "/page/uplot/",
      decorateReply: false,
    });
  };
}

/** Files keep their names between versions: let the browser ask whether they changed. */
function revalidate(reply: { header(name: string, value: string): unknown }): void {
  reply.header("cache-control", "no-cache");
}
