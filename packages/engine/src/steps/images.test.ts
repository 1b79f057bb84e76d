import { randomBytes } from "node:crypto";
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LinkReader } from "../link/frames.ts";
import { compareClocks, createImageSender, receiveImages, type SourceFacts } from "./images.ts";

const facts: SourceFacts = {
  stdout: 1,
  stderr: 2,
  isLazy: false,
  isPreCopied: false,
  cutAtMs: 3,
  stoppedAtMs: 4,
  clockErrorMs: 0.1,
  linkAddress: "10.0.0.1",
  linkPort: 9,
  hasSequences: true,
};
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-images-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Two connected sockets; what `a` sends passes through `change` on its way. */
async function pair(change: (chunk: Buffer) => Buffer = (chunk) => chunk): Promise<{ a: TLSSocket; b: TLSSocket; close(): void }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const far = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const a = createConnection(port, "127.0.0.1");
  const b = await far;
  const send = a.write.bind(a);
  a.write = ((data: string | Uint8Array, done?: () => void) => send(change(Buffer.from(data)), done)) as typeof a.write;
  for (const one of [a, b]) one.on("error", () => one.destroy());
  return {
    a: a as unknown as TLSSocket,
    b: b as unknown as TLSSocket,
    close() {
      a.destroy();
      b.destroy();
      server.close();
    },
  };
}

/** Everything at once, as when criu has ended; announced, it goes in bundles. */
async function sendAll(socket: TLSSocket, dir: string, isAnnounced = true) {
  const sender = createImageSender(socket, new LinkReader(socket), dir);
  if (isAnnounced) await sender.announce(facts);
  await sender.begin(facts);
  return (await sender.finish()).entries;
}

let counter = 0;
async function folders(files: Record<string, Uint8Array>): Promise<{ from: string; to: string }> {
  const [from, to] = [join(dir, `from-${++counter}`), join(dir, `to-${counter}`)];
  await mkdir(from);
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(from, name), bytes);
  return { from, to };
}

describe("images on the wire", () => {
  it.each([true, false])("arrive as they left, whatever their sizes and contents (in bundles: %s)", async (isAnnounced) => {
    const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}\.img$/);
    await fc.assert(
      fc.asyncProperty(fc.dictionary(name, fc.uint8Array({ maxLength: 100_000 }), { maxKeys: 5, noNullPrototype: true }), async (files) => {
        const { from, to } = await folders(files);
        const link = await pair();
        try {
          const heard: SourceFacts[] = [];
          const [sent, received] = await Promise.all([
            sendAll(link.a, from, isAnnounced),
            receiveImages(link.b, new LinkReader(link.b), to, (said) => heard.push(said)),
          ]);
          expect(received).toEqual({ entries: sent, areEqual: true });
          expect(heard).toEqual([facts]);
          for (const [file, bytes] of Object.entries(files)) expect(await readFile(join(to, file))).toEqual(Buffer.from(bytes));
        } finally {
          link.close();
        }
      }),
      { numRuns: 10 },
    );
  });

  it("the source learns when all memory up to a pass has arrived, and not before", async () => {
    const { from, to } = await folders({ "core-1.img": Buffer.from("core") });
    const link = await pair();
    const here = Promise.withResolvers<void>();
    const asked: number[] = [];
    const untilArrived = (pass: number) => {
      asked.push(pass);
      return here.promise;
    };
    const received = receiveImages(link.b, new LinkReader(link.b), to, () => undefined, undefined, untilArrived);
    const sender = createImageSender(link.a, new LinkReader(link.a), from);
    let isSaid = false;
    const arrived = sender.arrived(4, 5000, AbortSignal.timeout(10_000)).then(() => {
      isSaid = true;
    });
    while (asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([asked, isSaid]).toEqual([[4], false]);
    here.resolve();
    await arrived;
    await sender.arrived(5, 0, AbortSignal.timeout(10_000)); // no patience: at once, whatever has arrived
    await sender.finish();
    expect((await received).areEqual).toBe(true);
    link.close();
  });

  it("pages that are still being written are on their way before their end is there", async () => {
    const pages = randomBytes((5 << 20) + 1234);
    const { from, to } = await folders({ "pages-1.img": pages.subarray(0, 3 << 20), "core-1.img": Buffer.from("core") });
    const link = await pair();
    let sentEarly = 0;
    link.b.on("data", (chunk) => {
      sentEarly += chunk.length;
    });
    const received = receiveImages(link.b, new LinkReader(link.b), to, () => undefined);
    const sender = createImageSender(link.a, new LinkReader(link.a), from);
    const written = Promise.withResolvers<void>();
    const following = sender.follow(written.promise);
    while (sentEarly < 3 << 20) await new Promise((resolve) => setTimeout(resolve, 5));
    await appendFile(join(from, "pages-1.img"), pages.subarray(3 << 20));
    written.reject(new Error("criu failed: not the sender's affair"));
    await following;
    expect((await sender.finish()).entries).toHaveLength(2);
    expect((await received).areEqual).toBe(true);
    expect(await readFile(join(to, "pages-1.img"))).toEqual(pages);
    link.close();
  });

  it("what is large goes in parts, beside many small ones in several bundles", async () => {
    const small = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`core-${i}.img`, randomBytes(1 << 19)]));
    const { from, to } = await folders({ ...small, "ghost-file-1.img": randomBytes((2 << 20) + 7), "fs-1.img": new Uint8Array() });
    const link = await pair();
    const [sent, received] = await Promise.all([sendAll(link.a, from), receiveImages(link.b, new LinkReader(link.b), to, () => undefined)]);
    link.close();
    expect(received).toEqual({ entries: sent, areEqual: true });
    expect(sent).toHaveLength(11);
    for (const { name } of sent) expect(await readFile(join(to, name))).toEqual(await readFile(join(from, name)));
  });

  it.each([true, false])("one changed byte is caught by the digest, and the sender is told (in bundles: %s)", async (isAnnounced) => {
    const { from, to } = await folders({ "pages-1.img": Buffer.alloc(5000, 7) });
    const link = await pair((chunk) => {
      if (chunk.length < 5000) return chunk;
      chunk[2500] = 8;
      return chunk;
    });
    const [sent, received] = await Promise.allSettled([
      sendAll(link.a, from, isAnnounced),
      receiveImages(link.b, new LinkReader(link.b), to, () => undefined),
    ]);
    link.close();
    expect(sent).toMatchObject({ status: "rejected", reason: { code: "TRANSFER_FAILED" } });
    expect(received).toMatchObject({ status: "fulfilled", value: { areEqual: false } });
  });

  it("a link that ends early fails both sides, and no name leads out of the folder", async () => {
    const { to } = await folders({});
    const broken = await pair();
    const receiving = receiveImages(broken.b, new LinkReader(broken.b), to, () => undefined);
    broken.a.write('{"name":"pages-1.img","bytes":100}\nabc');
    broken.a.end();
    await expect(receiving).rejects.toMatchObject({ code: "TRANSFER_FAILED" });
    broken.close();
    const hostile = await pair();
    hostile.a.write('{"name":"../../etc/passwd","bytes":1}\nx');
    await expect(receiveImages(hostile.b, new LinkReader(hostile.b), to, () => undefined)).rejects.toThrow();
    hostile.close();
    for (const entry of [
      { name: "../passwd", bytes: 1 },
      { name: "core-1.img", bytes: 1 << 30 },
    ]) {
      const bundled = await pair();
      bundled.a.write(`${JSON.stringify({ bundle: [{ ...entry, sha256: "" }] })}\nx`);
      await expect(receiveImages(bundled.b, new LinkReader(bundled.b), to, () => undefined)).rejects.toThrow();
      bundled.close();
    }
  });

  it("clocks on one machine are found equal within the error that is given", async () => {
    const { from, to } = await folders({});
    const link = await pair();
    const received = receiveImages(link.b, new LinkReader(link.b), to, () => undefined);
    const reader = new LinkReader(link.a);
    const { offsetMs, errorMs } = await compareClocks(link.a, reader);
    await Promise.all([createImageSender(link.a, reader, from).finish(), received]);
    link.close();
    expect(Math.abs(offsetMs)).toBeLessThanOrEqual(errorMs + 0.5);
  });
});
