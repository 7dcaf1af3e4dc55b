import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import fastifyStatic from "@fastify/static";
import type { FastifyPluginAsync } from "fastify";
import { builtUrl } from "../../base/built-url.ts";

const pageFolder = builtUrl("tracking/ui/");

/** The page at / and its files below /page/, as the build made them. */
export function pageRoutes(): FastifyPluginAsync {
  return async (app) => {
    const html = await readFile(new URL("index.html", pageFolder), "utf8");
    app.get("/", async (_request, reply) =>
      reply.type("text/html; charset=utf-8").header("cache-control", "no-cache").send(html),
    );
    app.get("/favicon.ico", async (_request, reply) => reply.redirect("/page/icon.svg", 302));
    await app.register(fastifyStatic, {
      index: false,
      cacheControl: false,
      root: fileURLToPath(pageFolder),
      prefix: "/page/",
      setHeaders: cacheByName,
    });
  };
}

/** A name below assets/ holds a digest of the content; of other files let the browser ask whether they changed. */
function cacheByName(reply: { header(name: string, value: string): unknown }, path: string): void {
  const isNamedByContent = /[/\\]assets[/\\]/.test(path);
  reply.header("cache-control", isNamedByContent ? "public, max-age=31536000, immutable" : "no-cache");
}
