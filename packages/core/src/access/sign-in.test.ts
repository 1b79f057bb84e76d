import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CoreUnderTest, enrol, startCore } from "../testing/core-under-test.ts";

let core: CoreUnderTest;
beforeAll(async () => {
  core = await startCore();
}, 90_000);
afterAll(() => core.stop());

/** A browser with a jar of one cookie; it sends what browsers send and has no token. */
function browser(headers: Record<string, string> = {}) {
  let cookie = "";
  const jar = {
    cookieHeader: "",
    async call(method: string, path: string, body?: unknown, more: Record<string, string> = {}) {
      const answer = await fetch(core.url + path, {
        method,
        headers: { "content-type": "application/json", origin: core.url, ...(cookie ? { cookie } : {}), ...headers, ...more },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const set = answer.headers.get("set-cookie");
      if (set !== null) {
        jar.cookieHeader = set;
        cookie = set.split(";")[0] ?? "";
      }
      const text = await answer.text();
      return { status: answer.status, body: text === "" ? {} : JSON.parse(text), headers: answer.headers };
    },
  };
  return jar;
}

const password = "correct horse battery";
const signIn = (who: ReturnType<typeof browser>, name: string, word = password) =>
  who.call("POST", "/api/v2/sign-in", { name, password: word });
const errorOf = ({ status, body }: { status: number; body: { error?: { code: string } } }) => [status, body.error?.code];

describe("the first start", () => {
  it("has no account; one link, once, makes the admin and signs in", async () => {
    const visitor = browser();
    expect((await visitor.call("GET", "/api/v2/sign-in")).body).toEqual({ hasAccounts: false, oidcName: "" });
    expect(errorOf(await visitor.call("GET", "/api/v2/me"))).toEqual([401, "UNAUTHENTICATED"]);
    const code = (await readFile(join(core.dir, "first-admin.link"), "utf8")).trim();
    const ask = (given: string, word: string) =>
      visitor.call("POST", "/api/v2/sign-in:first-admin", { code: given, name: "ada", password: word });
    expect(errorOf(await ask("al_wrong", password))).toEqual([401, "SIGN_IN_LINK_INVALID"]);
    expect(errorOf(await ask(code, "short"))).toEqual([400, "PASSWORD_WEAK"]);
    const made = await ask(code, password);
    expect(made.body.caller).toMatchObject({ actor: "account/ada", role: "ROLE_ADMIN", account: { name: "ada", hasPassword: true } });
    expect(visitor.cookieHeader).toMatch(/^aether_session_\d+=as_[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
    expect((await visitor.call("GET", "/api/v2/me")).body.caller.actor).toBe("account/ada");
    expect(errorOf(await ask(code, password))).toEqual([401, "SIGN_IN_LINK_INVALID"]);
  });
});

describe("a session", () => {
  it("is only for our own page: what another site's page sends with the cookie is refused", async () => {
    const ada = browser();
    await signIn(ada, "ada");
    const evil = { origin: "https://evil.example" };
    expect(errorOf(await ada.call("POST", "/api/v2/tokens", { name: "x", role: "ROLE_ADMIN" }, evil))).toEqual([403, "CROSS_SITE"]);
    expect(errorOf(await ada.call("GET", "/api/v2/me", undefined, { "sec-fetch-site": "cross-site" }))).toEqual([403, "CROSS_SITE"]);
    expect(errorOf(await browser(evil).call("POST", "/api/v2/sign-in", { name: "ada", password }))).toEqual([403, "CROSS_SITE"]);
    expect((await ada.call("GET", "/api/v2/me", undefined, { "sec-fetch-site": "same-origin" })).status).toBe(200);
  });

  it("is listed and revoked, at once; signing out ends it", async () => {
    const [one, two] = [browser({ "user-agent": "One" }), browser({ "user-agent": "Two" })];
    await signIn(one, "ada");
    await signIn(two, "ada");
    const { sessions } = (await one.call("GET", "/api/v2/sessions")).body;
    const other = sessions.find(({ userAgent }: { userAgent: string }) => userAgent === "Two");
    expect(sessions.filter(({ isCurrent }: { isCurrent: boolean }) => isCurrent)).toMatchObject([{ userAgent: "One", account: "ada" }]);
    expect((await two.call("GET", "/api/v2/me")).status).toBe(200);
    expect((await one.call("DELETE", `/api/v2/sessions/${other.id}`)).status).toBe(200);
    expect((await two.call("GET", "/api/v2/me")).status).toBe(401);
    await one.call("POST", "/api/v2/sign-out", {});
    expect((await one.call("GET", "/api/v2/me")).status).toBe(401);
  });

  it("that is revoked hears nothing more on a stream that was open", async () => {
    const [one, two] = [browser({ "user-agent": "Watcher" }), browser()];
    await signIn(one, "ada");
    await signIn(two, "ada");
    const stream = await fetch(`${core.url}/api/v2/events`, {
      headers: { accept: "text/event-stream", cookie: one.cookieHeader.split(";")[0] ?? "" },
    });
    const { sessions } = (await two.call("GET", "/api/v2/sessions")).body;
    const watcher = sessions.find(({ userAgent }: { userAgent: string }) => userAgent === "Watcher");
    await two.call("DELETE", `/api/v2/sessions/${watcher.id}`);
    await enrol(core, "heard-by-nobody");
    expect(await stream.text()).toMatch(/^event: error\ndata: .*UNAUTHENTICATED/m);
  });

  it("has its account's role, and loses it with the account", async () => {
    const ada = browser();
    await signIn(ada, "ada");
    await ada.call("POST", "/api/v2/accounts", { name: "vic", role: "ROLE_VIEWER" });
    const link = (await ada.call("POST", "/api/v2/accounts/vic:sign-in-link", {})).body.secret;
    const vic = browser();
    expect((await vic.call("POST", "/api/v2/sign-in:redeem", { code: link })).body.caller).toMatchObject({ role: "ROLE_VIEWER" });
    expect(errorOf(await browser().call("POST", "/api/v2/sign-in:redeem", { code: link }))).toEqual([401, "SIGN_IN_LINK_INVALID"]);
    expect((await vic.call("GET", "/api/v2/nodes")).status).toBe(200);
    expect(errorOf(await vic.call("POST", "/api/v2/nodes/n1:cordon", {}))).toEqual([403, "PERMISSION_DENIED"]);
    expect(errorOf(await vic.call("GET", "/api/v2/sessions?all=true"))).toEqual([403, "PERMISSION_DENIED"]);
    expect((await ada.call("PATCH", "/api/v2/accounts/vic", { role: "ROLE_OPERATOR" })).status).toBe(200);
    expect(errorOf(await vic.call("POST", "/api/v2/nodes/n1:cordon", {}))).toEqual([404, "NODE_NOT_FOUND"]);
    await ada.call("PATCH", "/api/v2/accounts/vic", { isDisabled: true });
    expect((await vic.call("GET", "/api/v2/nodes")).status).toBe(401);
    expect(errorOf(await ada.call("PATCH", "/api/v2/accounts/ada", { role: "ROLE_VIEWER" }))).toEqual([400, "LAST_ADMIN"]);
    expect(errorOf(await ada.call("DELETE", "/api/v2/accounts/ada"))).toEqual([400, "LAST_ADMIN"]);
  });

  it("stays when its owner changes the password, and the others end", async () => {
    const [ada, other] = [browser(), browser()];
    await signIn(ada, "ada");
    await signIn(other, "ada");
    const change = (currentPassword: string) =>
      ada.call("POST", "/api/v2/me:change-password", { currentPassword, newPassword: "another horse battery" });
    expect(errorOf(await change("wrong wrong wrong"))).toEqual([401, "SIGN_IN_REFUSED"]);
    expect((await change(password)).status).toBe(200);
    expect([(await ada.call("GET", "/api/v2/me")).status, (await other.call("GET", "/api/v2/me")).status]).toEqual([200, 401]);
    expect(errorOf(await signIn(browser(), "ada"))).toEqual([401, "SIGN_IN_REFUSED"]);
  });
});

describe("wrong passwords", () => {
  it("are told alike for every name, and lock the name, also for the right one", async () => {
    await core.call("POST", "/api/v2/accounts", { name: "eve", role: "ROLE_VIEWER", password });
    const answers = async (name: string) => {
      const found: unknown[] = [];
      for (let i = 0; i < 6; i++) found.push(errorOf(await signIn(browser(), name, "wrong wrong wrong")));
      return found;
    };
    await core.restart(); // a new bucket for this address
    expect(await answers("eve")).toEqual([...Array(5).fill([401, "SIGN_IN_REFUSED"]), [429, "SIGN_IN_LOCKED"]]);
    const locked = await signIn(browser(), "eve");
    expect(errorOf(locked)).toEqual([429, "SIGN_IN_LOCKED"]);
    expect(Number(locked.headers.get("retry-after"))).toBeGreaterThan(0);
    await core.restart();
    expect(await answers("nobody")).toEqual([...Array(5).fill([401, "SIGN_IN_REFUSED"]), [429, "SIGN_IN_LOCKED"]]);
  });

  it("are on the audit log, without the password", async () => {
    const text = JSON.stringify((await core.call("GET", "/api/v2/audit?page.pageSize=200")).body);
    expect(text).toContain('"session.sign-in"');
    expect(text).toContain('"account.create-first-admin"');
    expect(text).not.toContain("wrong wrong");
    expect(text).not.toContain(password);
  });

  it("are slowed down for an address that tries many names", async () => {
    const answers: unknown[] = [];
    for (let i = 0; i < 25; i++) answers.push(errorOf(await signIn(browser(), `name-${i}`)));
    expect(answers).toContainEqual([429, "RATE_LIMITED"]);
  });
});
