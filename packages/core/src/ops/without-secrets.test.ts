import { describe, expect, it } from "vitest";
import { cleanText, covered, withoutSecrets } from "./without-secrets.ts";

describe("withoutSecrets", () => {
  it("covers what a name, a place or a form gives away, and leaves the rest", () => {
    expect(
      withoutSecrets({
        password: "x",
        nested: [{ apiKey: "x", secret_sha256: "x", name: "db", manifest_sha256: "abc" }],
        env: { PLAIN: "x" },
        argv: ["redis", "--requirepass", "x", "--port", "6379", "DB_PASSWORD=x", "--token=x"],
        count: 3,
        nothing: null,
      }),
    ).toEqual({
      password: covered,
      nested: [{ apiKey: covered, secret_sha256: covered, name: "db", manifest_sha256: "abc" }],
      env: { PLAIN: covered },
      argv: ["redis", "--requirepass", covered, "--port", "6379", `DB_PASSWORD=${covered}`, `--token=${covered}`],
      count: 3,
      nothing: null,
    });
  });

  it("finds secrets inside of texts, also of JSON in a text", () => {
    expect(cleanText("GET http://me:pw@host/x with Bearer abcdefghijk")).toBe(`GET http://${covered}@host/x with Bearer ${covered}`);
    expect(cleanText("token at_0123456789012345678901 was used")).toBe(`token ${covered} was used`);
    expect(cleanText("-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----\nafter")).toBe(`${covered}\nafter`);
    expect(cleanText('{"password":"x","name":"n"}')).toBe(`{"password":"${covered}","name":"n"}`);
  });
});
