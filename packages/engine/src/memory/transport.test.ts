import { randomBytes } from "node:crypto";
import { PassThrough, Readable, Writable } from "node:stream";
import { describe, expect, it, vi } from "vitest";
import { chooseTransport, sendPages, takePages } from "./transport.ts";

const collect = (into: Buffer[]) =>
  new Writable({
    write(chunk: Buffer, _encoding, done) {
      into.push(chunk);
      done();
    },
  });

describe("the way of pages", () => {
  it("is compressed on a slow link only, and never on an unknown one", () => {
    expect(chooseTransport(undefined)).toBe("plain");
    expect(chooseTransport(60e6)).toBe("zstd");
    expect(chooseTransport(600e6)).toBe("plain");
    expect(chooseTransport(60e6, 150e6)).toBe("zstd");
    expect(chooseTransport(119e6)).toBe("plain");
    expect(chooseTransport(60e6, 54e6)).toBe("plain"); // the processors were what limited
  });

  it.each(["plain", "zstd"] as const)("carries every byte: %s", async (transport) => {
    const pages = Buffer.concat([randomBytes(300_000), Buffer.alloc(2_000_000, "page")]);
    const [wire, out]: [Buffer[], Buffer[]] = [[], []];
    const link = new PassThrough();
    link.on("data", (chunk: Buffer) => wire.push(chunk));
    await Promise.all([
      sendPages(Readable.from([pages.subarray(0, 7), pages.subarray(7)]), link, transport),
      takePages(link, collect(out), transport),
    ]);
    expect(Buffer.concat(out).equals(pages)).toBe(true);
    expect(Buffer.concat(wire).length < pages.length / 2).toBe(transport === "zstd");
  });

  it("carries the end of a pass without waiting for the next one, compressed too", async () => {
    const [from, link, out]: [PassThrough, PassThrough, Buffer[]] = [new PassThrough(), new PassThrough(), []];
    const both = Promise.all([sendPages(from, link, "zstd"), takePages(link, collect(out), "zstd")]);
    for (const end of ["mark 1", "mark 2"]) {
      from.write(Buffer.concat([randomBytes(50_000), Buffer.from(end)]));
      await vi.waitFor(() => expect(Buffer.concat(out).subarray(-6).toString()).toBe(end), { interval: 5, timeout: 5000 });
    }
    from.end();
    await both;
  });

  it("fails where what comes is not compressed as was said", async () => {
    await expect(takePages(Readable.from([randomBytes(100_000)]), collect([]), "zstd")).rejects.toMatchObject({ code: "TRANSFER_FAILED" });
  });
});
