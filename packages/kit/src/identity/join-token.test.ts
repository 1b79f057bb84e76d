import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createJoinToken, hashJoinSecret, parseJoinToken } from "./join-token.ts";

const pin = "HWdwmizb1fTrjWwOGeUhs_-ugRgQSf-KV7AI2NuRP44";

describe("join tokens", () => {
  it("are read back, and known by the hash of their secret", () => {
    const { token, secretHash } = createJoinToken(pin);
    const parsed = parseJoinToken(` ${token}\n`);
    expect(parsed.pin).toBe(pin);
    expect(hashJoinSecret(parsed.secret)).toBe(secretHash);
    expect(secretHash).not.toContain(parsed.secret);
    expect(token.split(".")).toHaveLength(2);
  });

  it("are never the same twice", () => {
    expect(createJoinToken(pin).token).not.toBe(createJoinToken(pin).token);
  });

  it("are refused in any other form, without being repeated in the message", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => parseJoinToken(text)).toThrow(expect.objectContaining({ code: "JOIN_TOKEN_INVALID" }));
      }),
    );
    const { token } = createJoinToken(pin);
    for (const broken of [token.slice(0, -1), `${token}a`, token.replace(".", ","), token.slice(1), `${token}.${pin}`]) {
      let message = "";
      try {
        parseJoinToken(broken);
      } catch (caught) {
        message = String(caught);
      }
      expect(message).toContain("not a join token");
      expect(message).not.toContain(token.slice(3, 20));
    }
  });
});
