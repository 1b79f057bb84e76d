import { describe, expect, it } from "vitest";
import { browserFacts } from "./browser.ts";

const facts = (headers: Record<string, string>) => browserFacts((name) => headers[name]);
const secret = "as_abc";

describe("what a browser adds to a request", () => {
  it.each([
    ["its own page", { "sec-fetch-site": "same-origin" }, true],
    ["a typed address", { "sec-fetch-site": "none" }, true],
    ["another site's page", { "sec-fetch-site": "cross-site" }, false],
    ["a page of another port", { "sec-fetch-site": "same-site" }, false],
    ["its own page, of an older browser", { host: "core:3000", origin: "http://core:3000" }, true],
    ["another site's page, of an older browser", { host: "core:3000", origin: "http://evil.example" }, false],
    ["a page that hides where it is from", { host: "core:3000", origin: "null" }, false],
    ["a program", { host: "core:3000" }, true],
  ])("a request of %s", (_whose, headers, isSame) => expect(facts(headers).isSameOrigin).toBe(isSame));

  it("the session's cookie is that of this port, and no script reads it", () => {
    const cookie = "aether_session=other; aether_session_3000=as_abc; aether_session_30000=x";
    expect(facts({ host: "127.0.0.1:3000", cookie }).sessionSecret).toBe(secret);
    expect(facts({ host: "aether.example", cookie }).sessionSecret).toBe("other");
    expect(facts({ host: "127.0.0.1:9", cookie }).sessionSecret).toBeUndefined();
    const over = (origin: string) => facts({ host: "h", origin }).setCookie(secret, 2_500);
    expect(over("http://h")).toBe("aether_session=as_abc; Path=/; HttpOnly; SameSite=Strict; Max-Age=2");
    expect(over("https://h")).toMatch(/; Secure$/);
  });
});
