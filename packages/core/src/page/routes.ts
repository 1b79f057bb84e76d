// The dashboard at "/": the built files of packages/web, read once at the start. They hold no secret, so they need no credential; what they
// show they ask of the API with the session of whoever looks. Every address that a browser opens and nobody else serves is the page's.
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

/** packages/web/dist, the same seen from src and from dist. */
const builtDir = new URL("../../../web/dist/", import.meta.url);

const types: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
  woff2: "font/woff2",
};

interface PageFile {
  readonly type: string;
  readonly body: Buffer;
  readonly etag: string;
  /** Its name has a hash of its content: it never changes. */
  readonly isImmutable: boolean;
  zipped?: Buffer;
}

const notBuilt =
  "The dashboard is not built. In the clone: npm run build:web, then restart. The API and the `aether` command work without it.\n";

export async function pageRoutes(app: FastifyInstance, dir: URL = builtDir): Promise<void> {
  const files = await readBuilt(dir);
  app.get("/*", (request, reply) => {
    const path = request.url.split("?")[0] ?? "/";
    const file = files.get(path);
    if (file !== undefined && path !== "/index.html") return send(request, reply, file);
    // An address of the page itself: links are kept, and a reload stays where it was.
    const isNavigation = (request.headers.accept ?? "").includes("text/html") && !path.startsWith("/api/");
    if (path !== "/" && !isNavigation) return reply.callNotFound();
    const page = files.get("/index.html");
    if (page === undefined) return reply.code(503).type("text/plain; charset=utf-8").send(notBuilt);
    return send(request, reply, page);
  });
}

async function readBuilt(dir: URL): Promise<ReadonlyMap<string, PageFile>> {
  const found = new Map<string, PageFile>();
  const names = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of names) {
    const type = types[entry.name.slice(entry.name.lastIndexOf(".") + 1)];
    if (!entry.isFile() || type === undefined) continue;
    const path = `${entry.parentPath}/${entry.name}`.slice(dir.pathname.length - 1).replace("//", "/");
    const body = await readFile(new URL(`.${path}`, dir));
    const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
    found.set(path, { type, body, etag, isImmutable: path.startsWith("/assets/") });
  }
  return found;
}

function send(request: FastifyRequest, reply: FastifyReply, file: PageFile): FastifyReply {
  // A new version of the control plane is a new page: ask for it each time, and say "as before" for free.
  reply.header("cache-control", file.isImmutable ? "public, max-age=31536000, immutable" : "no-cache");
  reply.header("etag", file.etag).header("vary", "accept-encoding").type(file.type);
  if (request.headers["if-none-match"] === file.etag) return reply.code(304).send();
  const isText = file.type !== types.woff2;
  if (!isText || !/\bgzip\b/.test(request.headers["accept-encoding"] ?? "")) return reply.send(file.body);
  file.zipped ??= gzipSync(file.body, { level: 9 });
  return reply.header("content-encoding", "gzip").send(file.zipped);
}
