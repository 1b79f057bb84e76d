// The native program for arm64: compiled and linked here with the same warnings as errors, and run by QEMU's emulation of a process as far as that goes (not:
// ptrace, userfaultfd, seccomp, PAGEMAP_SCAN, subreapers). Whatever it says has to be what this machine's own program says: both sides of a move compare digests.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { run, until } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createNamespaces, inside, ip, missingForPackets, missingProgram, native, skipWhere } from "./native-program.ts";
import { frame, frames, madeUp, streamKey } from "./page-stream.ts";

const compiler = "aarch64-linux-gnu-gcc";
const isThere = (program: string) => {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};

function missingCompiler(): string | undefined {
  if (process.arch === "arm64") return "this machine compiles and runs it for itself";
  return isThere(compiler) ? undefined : `${compiler} is not there (package gcc-aarch64-linux-gnu)`;
}
const emulator = ["qemu-aarch64-static", "qemu-aarch64"].find(isThere);
const missing = missingCompiler();
const missingEmulator =
  missing ?? missingProgram() ?? (emulator === undefined ? "qemu-aarch64 is not there (package qemu-user-static)" : undefined);

const source = join(import.meta.dirname, "../../native");
const dir = mkdtempSync(join(tmpdir(), "aether-arm64-"));
const program = join(dir, "aether-native");
const here = [native];
const arm64 = [emulator ?? "", program];

beforeAll(() => {
  if (missing === undefined)
    execFileSync("make", ["-j2", "-C", source, `CC=${compiler}`, `BUILD=${dir}`, program], { encoding: "utf8", stdio: "pipe" });
}, 120_000);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("the native program for arm64", () => {
  skipWhere(missing);
  it("compiles without a warning into one static program", () => {
    const head = readFileSync(program).subarray(0, 64);
    expect(head.toString("latin1", 1, 4)).toBe("ELF");
    expect(head.readUInt16LE(18)).toBe(183); // EM_AARCH64
    const segments = execFileSync("aarch64-linux-gnu-readelf", ["-lW", program], { encoding: "utf8" });
    expect(segments).not.toContain("INTERP"); // nothing of the target's system is needed
  });
});

describe("the native program for arm64, emulated", () => {
  skipWhere(missingEmulator);
  const call = async ([file = "", ...first]: readonly string[], ...args: readonly string[]) => {
    const { code, stdout, stderr } = await run(file, [...first, ...args], { deadlineMs: 20_000, okCodes: [0, 1, 2] });
    return { code, stdout, stderr };
  };

  it("says of its options and of what the system refuses what it says here", async () => {
    const hold = ["hold", "--device", "aet0", "--address", "10.0.0.1", "--deadline-ms"];
    const shim = ["shim", "--log", "/tmp/x", "--exit-file", "/tmp/y", "--pid-file", "/tmp/z", "--max-log-bytes"];
    for (const args of [
      ["--version"],
      ["--help"],
      [],
      ["dance"],
      [...hold, "0"],
      [...hold, "1000", "--max-bytes", "-5"],
      [...hold, "99999999999999999999", "--max-bytes", "1"],
      [...shim, "12k", "--", "true"],
      ["announce", "--interface", "a\u00e9\u0001b", "--address", "10.0.0.256"],
      ["pipe", "--socket", "/nowhere/at/all.sock"],
      ["xattr", "get"],
    ])
      expect(await call(arm64, ...args), args.join(" ")).toEqual(await call(here, ...args));
    expect((await call(here, ...hold, "0")).code).toBe(2);
  });

  it("carries bytes both ways at once through a socket", async () => {
    const [question, answer] = [madeUp(1 << 20, 11), madeUp(1 << 20, 12)];
    const path = join(dir, "pipe.sock");
    const asked: Buffer[] = [];
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("data", (part: Buffer) => asked.push(part));
      socket.on("end", () => socket.end(answer));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const [emulate = "", binary = ""] = arm64;
    const child = spawn(emulate, [binary, "pipe", "--socket", path], { stdio: ["pipe", "pipe", "inherit"] });
    const got: Buffer[] = [];
    child.stdout.on("data", (part: Buffer) => got.push(part));
    child.stdin.end(question);
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(0);
    server.close();
    expect([Buffer.concat(asked).equals(question), Buffer.concat(got).equals(answer)]).toEqual([true, true]);
  });

  describe("given a stream of pages", () => {
    const version = Number(/#define WIRE_VERSION (\d+)/.exec(readFileSync(join(source, "src/memory/wire.h"), "utf8"))?.[1]);
    const key = streamKey(version);
    const space = 42;
    const made = [1, 2, 3].map((seed) => madeUp(4096, seed));
    const zero = Buffer.alloc(4096);

    /** Three pages of bytes and one of zeros from `address` on, as a source says them. */
    function stream(address: bigint, over: { readonly seal?: Buffer; readonly before?: Buffer } = {}): Buffer {
      const all = [...made, zero].map((page, i) => [address + BigInt(i) * 4096n, page] as const);
      return Buffer.concat([
        key.frame,
        frame({ kind: frames.pages, space, address, pages: 3 }),
        ...made,
        frame({ kind: frames.zero, space, address: address + 3n * 4096n, pages: 1 }),
        over.before ?? Buffer.alloc(0),
        frame({ kind: frames.keep, space, address, pages: 4 }),
        over.seal ?? key.seal(space, all),
        frame({ kind: frames.end, pages: 1 }),
        frame({ kind: frames.end }), // the next snapshot: nothing was written
      ]);
    }

    /** A keeper takes the stream and puts it together with criu's images in `images`: all that it says, and the images then. */
    async function keep([file = "", ...first]: readonly string[], bytes: Buffer, images: string) {
      const child = spawn(file, [...first, "memory-keep", "--data-fd", "3"], { stdio: ["pipe", "pipe", "pipe", "pipe"] });
      const said: string[] = [];
      for (const output of [child.stdout, child.stderr]) output?.on("data", (chunk: Buffer) => said.push(chunk.toString()));
      const data = child.stdio[3] as Duplex;
      for (const input of [data, child.stdin]) input?.on("error", () => undefined); // it may refuse the rest
      data.end(bytes);
      child.stdin?.end(`merge ${images}\n`);
      const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
      return {
        code,
        said: said
          .join("")
          .split("\n")
          .filter((line) => line !== "")
          .sort(),
      };
    }

    /** As criu leaves them of a process of which nothing was dumped: a magic number, and the head with the number of its pages image. */
    const emptyPagemap = Buffer.from([...Buffer.alloc(8, 0x56), 2, 0, 0, 0, 8, 1]);
    let count = 0;
    async function both(bytes: Buffer, pagemap: Buffer = emptyPagemap) {
      const answers = [here, arm64].map(async (command) => {
        const images = join(dir, `images-${count++}`);
        await mkdir(images);
        await writeFile(join(images, `pagemap-${space}.img`), pagemap);
        writeFileSync(join(images, "pages-1.img"), "");
        const { code, said } = await keep(command, bytes, images);
        const left = await Promise.all(
          [`pagemap-${space}.img`, "pages-1.img"].map(async (name) => (await readFile(join(images, name))).toString("hex")),
        );
        return { code, said, left };
      });
      return Promise.all(answers);
    }

    it("has the digest that it has here and by the book, and the same images", async () => {
      const [x64, emulated] = await both(stream(0x5555_0000_0000n));
      expect(x64?.code).toBe(0);
      expect(x64?.said.join()).toContain('"event":"merged","pages":3');
      expect(x64?.left[1]).toBe(Buffer.concat(made).toString("hex"));
      expect(emulated).toEqual(x64);
    });

    it("takes pages where processes of its own kind have them: programs and stacks lie above what x86-64 has", async () => {
      for (const address of [0xaaaa_0000_0000n, 0xffff_ffff_0000n]) {
        const [x64, emulated] = await both(stream(address));
        expect(x64?.said.join()).toContain("something that is no frame");
        expect(emulated).toMatchObject({ code: 0, said: expect.arrayContaining([expect.stringContaining('"event":"merged","pages":3')]) });
      }
      const [, beyond] = await both(stream(0x1_0000_0000_0000n));
      expect(beyond?.said.join()).toContain("something that is no frame");
    });

    it("refuses what is broken with the words that it has here", async () => {
      const good = stream(0x5555_0000_0000n);
      const at = 0x5555_0000_0000n;
      const wrong: Record<string, Buffer> = {
        "another digest": stream(at, { seal: frame({ kind: frames.seal, space, pages: 4, address: 1n, extra: 2n }) }),
        "a page that never came": stream(at, { before: frame({ kind: frames.keep, space, address: 0x1000n, pages: 1 }) }),
        "a page that was forgotten": stream(at, { before: frame({ kind: frames.forget, space, address: at, pages: 1 }) }),
        "too many pages at once": Buffer.concat([key.frame, frame({ kind: frames.pages, space, address: at, pages: 4097 })]),
        "an address within a page": Buffer.concat([key.frame, frame({ kind: frames.zero, space, address: at + 1n, pages: 1 })]),
        "an end that passes all": Buffer.concat([
          key.frame,
          frame({ kind: frames.keep, space, address: at, pages: Number.MAX_SAFE_INTEGER }),
        ]),
        "no key": good.subarray(32 + 520 * 8),
        "another version": Buffer.concat([frame({ kind: frames.key, address: 99n, pages: 520 }), good.subarray(32)]),
        "an early end": good.subarray(0, good.length - 100),
        ...Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`noise ${i}`, Buffer.concat([key.frame, madeUp(500, 100 + i)])])),
      };
      await Promise.all(
        Object.entries(wrong).map(async ([name, bytes]) => {
          const [x64, emulated] = await both(bytes);
          expect(x64?.code, name).toBe(1);
          expect(emulated, name).toEqual(x64);
        }),
      );
      // Images that somebody has damaged.
      for (const pagemap of [emptyPagemap.subarray(0, 10), Buffer.concat([emptyPagemap, Buffer.from([200, 0, 0, 0, 8])]), madeUp(64, 5)]) {
        const [x64, emulated] = await both(good, pagemap);
        expect(x64?.code).toBe(1);
        expect(emulated).toEqual(x64);
      }
    });
  });

  describe("announcing", () => {
    skipWhere(missingForPackets());
    const namespaces = createNamespaces();
    afterAll(() => namespaces.remove());

    it("sends the bytes that it sends here", async () => {
      const [sender, peer] = [await namespaces.add("arm"), await namespaces.add("ear")];
      await ip("link", "add", "eth0", "netns", sender, "type", "veth", "peer", "name", "eth0", "netns", peer);
      for (const name of [sender, peer]) await ip("-n", name, "link", "set", "eth0", "up");
      // Node has no packet sockets. ETH_P_ARP: nothing else comes.
      const listen = `import socket,sys
ear=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(0x806)); ear.bind(("eth0",0)); ear.settimeout(10)
print("ready",flush=True)
for _ in range(4): print(ear.recv(2048).hex(),flush=True)`;
      const [nsenter, args] = inside(peer, "/usr/bin/python3", "-c", listen);
      const ear = spawn(nsenter, args, { stdio: ["ignore", "pipe", "inherit"] });
      let heard = "";
      ear.stdout.on("data", (chunk: Buffer) => {
        heard += chunk.toString();
      });
      const closed = new Promise((resolve) => ear.once("close", resolve));

      await until("the ear", 10, 10_000, async () => (heard.includes("ready") ? true : undefined));
      for (const command of [here, arm64])
        await run(...inside(sender, ...command, "announce", "--interface", "eth0", "--address", "10.98.0.50", "--count", "1"), {
          deadlineMs: 20_000,
        });
      await closed;
      const [, request, reply, ...emulated] = heard.trim().split("\n");
      expect(request).toMatch(/^f{12}[0-9a-f]{12}0806/);
      expect(emulated).toEqual([request, reply]);
    });
  });
});
