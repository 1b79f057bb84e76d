// Sign-in through a real OpenID Connect provider on this machine (oidc-provider, certified), in a real browser: its own pages, its own signatures.
import { existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
// @ts-expect-error: it comes without types
import Provider from "oidc-provider";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CoreUnderTest, startCore } from "../../packages/core/src/testing/core-under-test.ts";
import { chromiumMissing, launch, openTab } from "./chromium.ts";

const isBuilt = existsSync(fileURLToPath(new URL("../../packages/web/dist/index.html", import.meta.url)));
const missing = chromiumMissing ?? (isBuilt ? undefined : "the dashboard is not built: npm run build:web");

describe.skipIf(missing !== undefined)(`an OpenID Connect provider${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let server: Server;
  let core: CoreUnderTest;
  let browser: Browser;
  const groups: Record<string, string[]> = { "grace@example.com": ["sre"], mallory: ["sales"] };

  beforeAll(async () => {
    const listening = createServer();
    await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
    const issuer = `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const publicUrl = `http://127.0.0.1:${port}`;
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: "aether",
          token_endpoint_auth_method: "none",
          redirect_uris: [`${publicUrl}/auth/oidc/callback`],
          response_types: ["code"],
          grant_types: ["authorization_code"],
        },
      ],
      claims: { openid: ["sub"], profile: ["preferred_username", "groups"] },
      scopes: ["openid", "profile", "email"],
      conformIdTokenClaims: false,
      findAccount: (_context: unknown, id: string) => ({
        accountId: id,
        claims: () => ({ sub: id, preferred_username: id, groups: groups[id] ?? [] }),
      }),
      cookies: { keys: ["of this test only"] },
    });
    server = listening.on("request", provider.callback());
    [core, browser] = await Promise.all([
      startCore({
        http: { host: "127.0.0.1", port },
        access: { oidc: { issuer, clientId: "aether", publicUrl, name: "Example SSO", roles: { operator: ["sre"] } } },
      }),
      launch(),
    ]);
  }, 90_000);
  afterAll(async () => {
    await browser?.close();
    await core?.stop();
    server?.closeAllConnections();
    server?.close();
  });

  /** As far as the provider's last page; what comes then is ours. */
  const signInAs = async (name: string) => {
    const tab = await openTab(browser, core.url);
    await tab.page.goto("/nodes?q=a%20b");
    await tab.page.getByRole("link", { name: "Sign in with Example SSO" }).click();
    await tab.page.locator("input[name=login]").fill(name);
    await tab.page.locator("input[name=password]").fill("whatever");
    await tab.page.locator("button[type=submit]").click();
    await tab.page.getByRole("button", { name: /continue/i }).click();
    return tab;
  };

  it("lets in who is in a group that has a role, with that role, and takes the session back at the end", async () => {
    const { page } = await signInAs("grace@example.com");
    // Where one wanted to go before the sign-in, not the front page.
    await page.getByRole("heading", { level: 1, name: "Nodes" }).waitFor();
    expect([new URL(page.url()).pathname, new URL(page.url()).searchParams.get("q")]).toEqual(["/nodes", "a b"]);
    const me = await page.evaluate("fetch('/api/v2/me').then((answer) => answer.json())");
    expect(me).toMatchObject({ caller: { actor: "account/grace", role: "ROLE_OPERATOR", account: { hasPassword: false } } });
    const { body } = await core.call("GET", "/api/v2/audit");
    expect(body.entries).toContainEqual(expect.objectContaining({ actor: "account/grace", action: "session.sign-in-oidc", outcome: "ok" }));
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
  }, 60_000);

  it("keeps out who is in no such group, and says why", async () => {
    const { page } = await signInAs("mallory");
    await page.getByText("has no role here").waitFor();
    expect((await page.context().cookies(core.url)).filter(({ name }) => name.startsWith("aether_session"))).toEqual([]);
  }, 60_000);

  it("accepts no answer that this browser did not ask for", async () => {
    for (const [query, cookie] of [
      ["code=x&state=y", ""],
      [
        "code=x&state=y",
        `aether_oidc=${Buffer.from(JSON.stringify({ state: "z", nonce: "n", verifier: "v".repeat(43) })).toString("base64url")}`,
      ],
      ["", "aether_oidc=not-base64-json"],
    ]) {
      const answer = await fetch(`${core.url}/auth/oidc/callback?${query}`, { redirect: "manual", headers: { cookie: cookie ?? "" } });
      expect([answer.status, answer.headers.get("location")]).toEqual([303, "/?refused=SIGN_IN_REFUSED"]);
      expect(answer.headers.getSetCookie().filter((text) => text.startsWith("aether_session"))).toEqual([]);
    }
  });
});
