// Files of ours that anybody may read, each named; nothing else of a folder is reachable. They are read once, at the start.
import { readFile } from "node:fs/promises";
import type { FastifyInstance } from "fastify";
import { entityTag, isKnown } from "./rest/entity-tag.ts";

const types = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json; charset=utf-8",
};

/** Serves one file at one path. */
export async function serveFile(app: FastifyInstance, path: string, file: URL): Promise<void> {
  serveText(app, path, file.pathname.slice(file.pathname.lastIndexOf(".") + 1) as keyof typeof types, await readFile(file, "utf8"));
}

/** A new version of the control plane has new texts: ask each time, and hear "as before" for free. */
export function serveText(app: FastifyInstance, path: string, type: keyof typeof types, body: string): void {
  const tag = entityTag(body);
  app.get(path, (request, reply) => {
    reply.header("cache-control", "no-cache").header("etag", tag);
    const known = request.headers["if-none-match"];
    if (known !== undefined && isKnown(known, tag)) return reply.code(304).send();
    return reply.type(types[type]).send(body);
  });
}
