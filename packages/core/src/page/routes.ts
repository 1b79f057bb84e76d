// The status page at "/": static files, read once at the start. They hold no secret, so they need no token; what they show they ask of the API
// with the token of whoever looks.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { FastifyInstance } from "fastify";

/** packages/core/page, the same seen from src and from dist. */
const pageDir = new URL("../../page/", import.meta.url);

const types = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/** Every file that is served; nothing else of the folder is reachable. */
const files = [
  "index.html",
  "page.css",
  "page.js",
  "api.js",
  "elements.js",
  "fleet.js",
  "graph.js",
  "timeline.js",
  "history.js",
  "icon.svg",
] as const;

export async function pageRoutes(app: FastifyInstance): Promise<void> {
  for (const name of files) {
    const body = await readFile(new URL(name, pageDir));
    const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
    const type = types[name.slice(name.lastIndexOf(".") + 1) as keyof typeof types];
    app.get(name === "index.html" ? "/" : `/page/${name}`, (request, reply) => {
      // A new version of the control plane is a new page: ask each time, and say "as before" for free.
      reply.header("cache-control", "no-cache").header("etag", etag);
      if (request.headers["if-none-match"] === etag) return reply.code(304).send();
      return reply.type(type).send(body);
    });
  }
}
