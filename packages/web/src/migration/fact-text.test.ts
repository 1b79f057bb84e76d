import { describe, expect, it } from "vitest";
import { factText, shortened } from "./fact-text.ts";

describe("what a move's programs write", () => {
  it.each([
    ["bytes", "2848505", "2.72 MiB"],
    ["sent_bytes", "1024", "sent bytes 1 KiB"],
    ["sent", "false", "not sent"],
    ["is_lazy", "true", "is lazy"],
    ["detail", "connected to port 6379", "connected to port 6379"],
    ["mapped", "1234567", "mapped 1,234,567"],
    ["hold", "queue", "hold queue"],
  ])("is told of a phase: %s %s", (name, value, text) => expect(factText(name, value)).toBe(text));

  it("is told of a comparison: digests by their beginning, ports as they are", () => {
    expect(shortened("26, 2848505 bytes, digest 38f9a0aa73b6e2ff9380d7624c5dd453410de56973b558c0c5966005e121e2d4")).toBe(
      "26, 2,848,505 bytes, digest 38f9a0aa73b6…",
    );
    expect(shortened("2818048")).toBe("2,818,048");
    expect(shortened("10.79.1.1:6379 10.79.0.1:52816")).toBe("10.79.1.1:6379 10.79.0.1:52816");
  });
});
