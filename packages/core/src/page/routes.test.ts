import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fastify, { type FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addSecurityHeaders } from "../http/security-headers.ts";
import { pageRoutes } from "./routes.ts";

const script = `${"export const x = 1;".repeat(100)}\n`;

describe("the dashboard's files", () => {
  let dir: string;
  let app: FastifyInstance;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "aether-page-"));
    await mkdir(join(dir, "dist/assets"), { recursive: true });
    await writeFile(join(dir, "dist/index.html"), "<!doctype html><title>page</title>");
    await writeFile(join(dir, "dist/assets/app-1a2b.js"), script);
    await writeFile(join(dir, "dist/.built-from"), "a hash");
    await writeFile(join(dir, "secret.js"), "a secret");
    app = await open("dist/");
  });
  afterAll(async () => {
    await app.close();
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  });
  const open = async (name: string) => {
    const made = fastify();
    addSecurityHeaders(made);
    await pageRoutes(made, new URL(name, pathToFileURL(`${dir}/`)));
    return made;
  };
  const get = (url: string, headers: Record<string, string> = {}) => app.inject({ url, headers });

  it("are the page at every address that a browser opens, under a policy that runs no other script", async () => {
    for (const url of ["/", "/nodes/n1", "/workloads/a.b?tab=logs"]) {
      const answer = await get(url, { accept: "text/html,*/*" });
      expect([answer.statusCode, answer.headers["content-type"], answer.headers["cache-control"]]).toEqual([
        200,
        "text/html; charset=utf-8",
        "no-cache",
      ]);
      expect(answer.headers["content-security-policy"]).toContain("script-src 'self';");
    }
    expect([(await get("/nodes/n1")).statusCode, (await get("/api/v2/nothing", { accept: "text/html" })).statusCode]).toEqual([404, 404]);
  });

  it("are kept for ever where their name has their hash, compressed, and answered with 304", async () => {
    const answer = await get("/assets/app-1a2b.js", { "accept-encoding": "gzip" });
    expect(answer.headers).toMatchObject({
      "content-encoding": "gzip",
      "cache-control": "public, max-age=31536000, immutable",
      vary: "accept-encoding",
    });
    expect(answer.rawPayload.length).toBeLessThan(script.length / 5);
    expect((await get("/assets/app-1a2b.js")).payload).toBe(script);
    expect((await get("/assets/app-1a2b.js", { "if-none-match": String(answer.headers.etag) })).statusCode).toBe(304);
  });

  it("are no way to anything else", async () => {
    for (const url of ["/.built-from", "/../secret.js", "/assets/../../secret.js", "/%2e%2e/secret.js", "/assets/..%2f..%2fsecret.js"]) {
      expect((await get(url)).payload, url).not.toContain("secret\n");
      expect((await get(url)).statusCode, url).toBe(404);
    }
  });

  it("say how they are built where they are not", async () => {
    const bare = await open("nowhere/");
    const answer = await bare.inject({ url: "/" });
    expect([answer.statusCode, answer.payload.includes("npm run build:web")]).toEqual([503, true]);
    await bare.close();
  });
});
