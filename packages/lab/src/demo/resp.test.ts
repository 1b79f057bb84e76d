import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRespReader, encodeCommand, encodeReply, type Reply, RespError } from "./resp.ts";

const reply = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { depthSize: "small" },
    fc.integer(),
    fc.constant(null),
    fc.string({ unit: "binary" }),
    fc.stringMatching(/^[ -~]*$/).map((text) => new RespError(text)),
    fc.array(tie("reply"), { maxLength: 4 }),
  ),
})).reply;

describe("RESP", () => {
  it("gives back what was written, however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(reply, { maxLength: 6 }), fc.array(fc.nat(40), { maxLength: 20 }), (replies, cuts) => {
        const bytes = Buffer.concat(replies.map(encodeReply));
        const reader = createRespReader();
        const seen: Reply[] = [];
        let at = 0;
        for (const cut of [...cuts, bytes.length]) {
          seen.push(...reader.push(bytes.subarray(at, at + cut)));
          at = Math.min(bytes.length, at + cut);
        }
        expect(seen).toEqual(replies);
      }),
    );
  });
  it("writes a command as redis reads it", () => {
    expect(encodeCommand(["INCR", "é"]).toString()).toBe("*2\r\n$4\r\nINCR\r\n$2\r\né\r\n");
  });
  it.each(["HTTP/1.1 200 OK\r\n", ":1e9\r\n", "$5\r\nabcdefg\r\n", "$-2\r\n", `+${"x".repeat(70_000)}`])("refuses %j", (text) => {
    expect(() => createRespReader().push(Buffer.from(text))).toThrow();
  });
});
