import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LightHeaders } from "./light-headers.ts";

const name = fc.constantFrom("a", "A", "Content-Type", "content-type", "set-cookie", "Set-Cookie", "x-bin", "grpc-status");
const value = fc.constantFrom("", "1", " two ", "a, b", "c=1; Path=/", "\t3");
const step = fc.oneof(
  fc.tuple(fc.constant("append" as const), name, value),
  fc.tuple(fc.constant("set" as const), name, value),
  fc.tuple(fc.constant("delete" as const), name, value),
);

describe("LightHeaders", () => {
  it("does what the platform's own do", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 6 }), fc.array(step, { maxLength: 10 }), name, (init, steps, asked) => {
        const [ours, theirs] = [new LightHeaders(init), new Headers(init)];
        for (const [act, key, text] of steps)
          for (const headers of [ours, theirs]) act === "delete" ? headers.delete(key) : headers[act](key, text);
        const told = (headers: Headers | LightHeaders) => {
          const lines: string[] = [];
          headers.forEach((text: string, key: string) => void lines.push(`${key}: ${text}`));
          return [
            [...headers],
            [...headers.keys()],
            [...headers.values()],
            lines,
            headers.get(asked),
            headers.has(asked),
            headers.getSetCookie(),
          ];
        };
        expect(told(ours)).toEqual(told(theirs));
        expect([...new LightHeaders(ours)]).toEqual([...new Headers(theirs)]);
      }),
    );
    expect([...new LightHeaders({ B: "2", a: "1" })]).toEqual([...new Headers({ B: "2", a: "1" })]);
    expect([...new LightHeaders(undefined)]).toEqual([]);
  });
});
