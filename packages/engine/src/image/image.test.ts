// Real layouts on disk, unpacked by the real code: what an image means, and what it may not do to the host.
import { cpSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair } from "node:stream";
import type { TLSSocket } from "node:tls";
import { silentLogger } from "@aether/kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { WorkloadSpec } from "../engine.ts";
import { createTreeHasher } from "../files/tree-digest.ts";
import { attributeReader } from "../files/xattrs.ts";
import type { Host } from "../host.ts";
import { LinkReader } from "../link/frames.ts";
import { type LayoutOptions, type TestEntry, type TestLayer, writeLayout } from "../testing/oci-layout.ts";
import { ensureImage, findImage, type ImagePin, imageRootfs, tidyImages } from "./images.ts";
import { processSettings } from "./process.ts";
import { receiveImage } from "./travel.ts";

/** Extended attributes need the native program: tests/e2e/engine/files.test.ts. */
const native = "/bin/true";
let dir: string;
let layout: string;
let outside: string;
let host: Host;
const signal = new AbortController().signal;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-image-"));
  [layout, outside] = [join(dir, "layout"), join(dir, "outside")];
  await mkdir(outside);
  await writeFile(join(outside, "precious"), "untouched");
  host = { options: { stateDir: join(dir, "state"), tools: { native }, log: silentLogger }, memoryDir: dir } as unknown as Host;
});
afterEach(() => rm(dir, { recursive: true }));

async function unpack(layers: readonly (TestLayer | readonly TestEntry[])[], options: LayoutOptions = {}): Promise<string> {
  const whole = layers.map((layer) => (Array.isArray(layer) ? { entries: layer as TestEntry[] } : (layer as TestLayer)));
  await writeLayout(layout, whole, options);
  const pin = await ensureImage(host, layout, signal);
  return imageRootfs(host, pin.chainId);
}
const refused = (message: string | RegExp) => ({ code: "ROOTFS_INVALID", message: expect.stringMatching(message) });

describe("an image", () => {
  it("is its layers in order: files, modes, links, whiteouts, opaque directories, in each compression", async () => {
    const root = await unpack([
      {
        compression: "none",
        entries: [
          { path: "./", flag: "5", mode: 0o755 },
          { path: "etc/", flag: "5" },
          { path: "etc/a", body: "one" },
          { path: "etc/b", body: "gone later" },
          { path: "data/", flag: "5" },
          { path: "data/old/deep", body: "hidden by the opaque directory" },
          { path: "bin/tool", body: "#!", mode: 0o4755 },
        ],
      },
      {
        compression: "gzip",
        entries: [
          { path: "etc/.wh.b" },
          { path: "etc/link", flag: "2", linkPath: "a" },
          { path: "etc/same", flag: "1", linkPath: "etc/a" },
          { path: "data/new", body: "n" },
          { path: "data/.wh..wh..opq" },
        ],
      },
      {
        compression: "zstd",
        entries: [
          { path: "etc/a", body: "three" },
          { path: "pipe", flag: "6", mode: 0o600 },
        ],
      },
    ]);
    expect((await readdir(root)).sort()).toEqual(["bin", "data", "etc", "pipe"]);
    expect((await readdir(join(root, "etc"))).sort()).toEqual(["a", "link", "same"]);
    expect(await readdir(join(root, "data"))).toEqual(["new"]);
    expect(await readFile(join(root, "etc/a"), "utf8")).toBe("three");
    expect(await readFile(join(root, "etc/same"), "utf8")).toBe("one");
    expect(await readlink(join(root, "etc/link"))).toBe("a");
    expect((await stat(join(root, "bin/tool"))).mode & 0o7777).toBe(0o4755);
    expect((await stat(join(root, "bin/tool"))).mtimeMs).toBe(1_700_000_000_000);
    expect((await lstat(join(root, "pipe"))).isFIFO()).toBe(true);
  });

  it("hard links are one file; long names and names with a prefix are whole", async () => {
    const long = `${"d".repeat(90)}/${"f".repeat(150)}`;
    const root = await unpack([
      [
        { path: "a", body: "x" },
        { path: "b", flag: "1", linkPath: "a" },
        { path: "short", body: "long", pax: { path: long } },
      ],
    ]);
    expect((await stat(join(root, "a"))).ino).toBe((await stat(join(root, "b"))).ino);
    expect(await readFile(join(root, long), "utf8")).toBe("long");
  });

  it("is unpacked once; a kill in the middle leaves nothing that counts, and is tidied away", async () => {
    const root = await unpack([[{ path: "a", body: "x" }]]);
    const before = await stat(join(root, "a"));
    await mkdir(join(dir, "state/images/.half-1-1/rootfs"), { recursive: true });
    await mkdir(join(dir, "state/images/sha256-nothing"), { recursive: true });
    const pin = await ensureImage(host, layout, signal);
    expect((await stat(join(root, "a"))).ino).toBe(before.ino);
    await tidyImages(host, new Set([pin.chainId]), Date.now() + 30 * 86_400_000);
    expect(await readdir(join(dir, "state/images"))).toEqual([pin.chainId.replace(":", "-")]);
    await tidyImages(host, new Set(), Date.now() + 30 * 86_400_000);
    expect(await findImage(host, pin.chainId)).toBeUndefined();
  });

  it("devices are left out: a 0:0 one would hide a file, the others are the container's own", async () => {
    const root = await unpack([
      [
        { path: "null", flag: "3" },
        { path: "a", body: "x" },
      ],
    ]);
    expect(await readdir(root)).toEqual(["a"]);
  });
});

describe("an image may not", () => {
  const pointing = (to: string): TestEntry[] => [
    { path: "out", flag: "2", linkPath: to },
    { path: "out/precious", body: "overwritten" },
  ];
  it.each<[string, TestEntry[], string]>([
    ["climb by its name", [{ path: "../precious", body: "x" }], "leads out"],
    ["climb in the middle of a name", [{ path: "a/../../precious", body: "x" }], "leads out"],
    ["climb by a relative link", pointing("../../../../../../../../.."), "leads out"],
    ["climb by a hard link", [{ path: "h", flag: "1", linkPath: "../outside/precious" }], "leads out"],
    ["link to what it does not have", [{ path: "h", flag: "1", linkPath: "etc/shadow" }], "not a file of the image"],
    [
      "climb by a whiteout",
      [
        { path: "a/.wh...", body: "" },
        { path: ".wh...", body: "" },
      ],
      "not a valid whiteout",
    ],
    [
      "go in circles",
      [
        { path: "l", flag: "2", linkPath: "l" },
        { path: "l/x", body: "" },
      ],
      "circles",
    ],
    ["replace its root", [{ path: "./", flag: "2", linkPath: "/etc" }], "its own root"],
    ["hold sparse tricks", [{ path: "s", flag: "S" }], "sparse"],
    ["end early", [{ path: "s", body: "x", size: 5000 }], "ends in the middle"],
  ])("%s", async (_, entries, message) => {
    await expect(unpack([entries])).rejects.toMatchObject(refused(message));
    expect(await readFile(join(outside, "precious"), "utf8")).toBe("untouched");
    expect(await readdir(join(dir, "state/images"))).toEqual([]);
  });

  it("reach the host by an absolute link: it leads inside the image", async () => {
    const root = await unpack([pointing(join("/", outside))]);
    expect(await readFile(join(outside, "precious"), "utf8")).toBe("untouched");
    expect(await readFile(join(root, outside, "precious"), "utf8")).toBe("overwritten");
  });

  it("give a file of the host a capability, or a directory of it a time, by a link in the place of what it had", async () => {
    // Writes down where each path leads at the moment at which an attribute would be written to it.
    const native = join(dir, "native");
    await writeFile(
      native,
      `#!/bin/sh\ntr '\\0' '\\n' | while read -r path && read -r name && read -r value; do realpath "$path" >> ${dir}/attributes; done\n`,
      {
        mode: 0o755,
      },
    );
    host = { ...host, options: { ...host.options, tools: { native } } } as unknown as Host;
    await mkdir(join(outside, "sub"));
    const { mtimeMs } = await stat(join(outside, "sub"));
    const root = await unpack([
      [
        { path: "x/precious", body: "x", pax: { "SCHILY.xattr.security.capability": Buffer.from([1]) } },
        { path: "x/sub/", flag: "5" },
        { path: "x", flag: "2", linkPath: outside },
        { path: "kept", body: "x", pax: { "SCHILY.xattr.user.a": "b" } },
      ],
    ]);
    expect(await readlink(join(root, "x"))).toBe(outside);
    const written = (await readFile(join(dir, "attributes"), "utf8")).trimEnd().split("\n");
    expect(written.map((path) => path.replace(/^.*\/rootfs\/?/, ""))).toEqual(["x/precious", "kept", ""]);
    expect((await stat(join(outside, "sub"))).mtimeMs).toBe(mtimeMs);
  });

  it("have other bytes than its digests say", async () => {
    const [blob = ""] = await writeLayout(layout, [{ entries: [{ path: "a", body: "x" }], compression: "none" }]);
    const bytes = await readFile(blob);
    bytes[600] = (bytes[600] ?? 0) ^ 1;
    await writeFile(blob, bytes);
    await expect(ensureImage(host, layout, signal)).rejects.toMatchObject(refused("does not have the content"));
    const wrong = [`sha256:${"0".repeat(64)}`];
    await expect(unpack([[{ path: "a" }]], { diffIds: wrong })).rejects.toMatchObject(refused("does not unpack to"));
    expect(await readdir(join(dir, "state/images"))).toEqual([]);
  });

  it("be for another machine, or lack a part", async () => {
    await expect(unpack([[]], { architecture: "s390x" })).rejects.toMatchObject(refused("s390x"));
    const [blob = ""] = await writeLayout(layout, [{ entries: [{ path: "a" }] }]);
    await rm(blob);
    await expect(ensureImage(host, layout, signal)).rejects.toMatchObject(refused("is missing"));
    await expect(ensureImage(host, join(dir, "nowhere"), signal)).rejects.toMatchObject(refused("not a whole OCI image layout"));
  });
});

describe("what the process is started with", () => {
  const pin = {
    chainId: `sha256:${"1".repeat(64)}`,
    manifestDigest: "",
    env: { A: "image", B: "image" },
    argv: ["serve", "--all"],
    workingDirectory: "/srv",
    user: "app",
  };
  const spec = { name: "w", rootfs: "oci:/x", argv: [], env: { B: "spec" }, workingDirectory: "" } as unknown as WorkloadSpec;
  beforeEach(async () => {
    await mkdir(join(dir, "etc"));
    await writeFile(join(dir, "etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n");
    await writeFile(join(dir, "etc/group"), "app:x:1001:\nmore:x:1002:app,other\n");
  });

  it("is the image's, and the spec wins", async () => {
    expect(await processSettings(spec, pin, dir)).toEqual({
      argv: ["serve", "--all"],
      env: { A: "image", B: "spec" },
      workingDirectory: "/srv",
      uid: 1000,
      gid: 1001,
      additionalGids: [1002],
    });
    const own = { ...spec, argv: ["sh"], workingDirectory: "/", user: "0:more" };
    expect(await processSettings(own, pin, dir)).toMatchObject({
      argv: ["sh"],
      workingDirectory: "/",
      uid: 0,
      gid: 1002,
      additionalGids: [],
    });
  });

  it("names what is not there", async () => {
    await expect(processSettings({ ...spec, user: "nobody-here" }, pin, dir)).rejects.toMatchObject({
      code: "ROOTFS_INVALID",
      field: "spec.user",
    });
    await expect(processSettings(spec, undefined, dir)).rejects.toMatchObject({ code: "COMMAND_NOT_EXECUTABLE" });
    expect(await processSettings({ ...spec, user: "4242" }, pin, dir)).toMatchObject({ uid: 4242, gid: 0 });
  });

  it("does not keep a user's table that is no table in memory", async () => {
    await writeFile(join(dir, "etc/passwd"), "x".repeat(2 << 20));
    await expect(processSettings(spec, pin, dir)).rejects.toMatchObject(refused("/etc/passwd of the rootfs has 2097152 bytes"));
  });
});

it("an image whose source is gone without a word is given up with its move, and the next one who wants it begins anew", async () => {
  const pin = { chainId: `sha256:${"a".repeat(64)}`, manifestDigest: "", env: {}, argv: [], workingDirectory: "", user: "" };
  const spec = { name: "w", rootfs: `oci:${join(dir, "no-layout")}` } as unknown as WorkloadSpec;
  const door = { open: () => () => undefined, keep: async () => undefined };
  for (let i = 0; i < 2; i++) {
    const [ours, theirs] = duplexPair();
    ours.on("error", () => undefined);
    const move = new AbortController();
    const received = receiveImage(host, spec, ours as unknown as TLSSocket, new LinkReader(ours), door, move.signal);
    received.catch(() => undefined);
    theirs.write(`${JSON.stringify({ pin, treeDigest: "t", bytes: 1, entries: 1, leftOut: 0 })}\n`);
    expect(await new LinkReader(theirs).line()).toEqual({ has: false });
    move.abort();
    await expect(received).rejects.toMatchObject({ code: "TRANSFER_FAILED" });
  }
});

describe("an image that another node sent", () => {
  const spec = () => ({ name: "w", rootfs: `oci:${join(dir, "no-layout")}` }) as unknown as WorkloadSpec;
  let pin: ImagePin;
  /** Where the sending node has it. */
  let theirs: string;
  beforeEach(async () => {
    await writeLayout(layout, [{ entries: [{ path: "a", body: "honest" }] }]);
    const sender = { ...host, options: { ...host.options, stateDir: join(dir, "sender") } } as unknown as Host;
    pin = await ensureImage(sender, layout, signal);
    theirs = imageRootfs(sender, pin.chainId);
  });
  const digestOf = async (path: string) => (await createTreeHasher(attributeReader(native)).digest([{ name: "image", path }])).digest;
  async function receive(): Promise<unknown> {
    const [ours, far] = duplexPair();
    const door = {
      open({ path }: { path: string }) {
        cpSync(theirs, path, { recursive: true, preserveTimestamps: true });
        return () => undefined;
      },
      keep: async () => undefined,
    };
    const received = receiveImage(host, spec(), ours as unknown as TLSSocket, new LinkReader(ours), door, signal).catch(() => undefined);
    const reader = new LinkReader(far);
    far.write(`${JSON.stringify({ pin, treeDigest: await digestOf(theirs), bytes: 1, entries: 1, leftOut: 0 })}\n`);
    const { has } = (await reader.line()) as { has: boolean };
    if (!has) far.write(`${JSON.stringify({ sent: true })}\n`);
    const outcome = await reader.line();
    await received;
    return outcome;
  }

  it("is held once against its layers where they are here, and is as good as one's own then", async () => {
    expect(await receive()).toEqual({ ok: true, reason: "" });
    expect(await findImage(host, pin.chainId)).toMatchObject({ isOwn: false });
    await ensureImage(host, layout, signal);
    expect(await findImage(host, pin.chainId)).toMatchObject({ isOwn: true });
    expect(await readdir(join(dir, "state/images"))).toEqual([pin.chainId.replace(":", "-")]);
  });

  it("with other files under its name is good for nobody else: not for what is started here, nor for what an honest node sends", async () => {
    const honest = await readFile(join(theirs, "a"));
    await writeFile(join(theirs, "a"), "poison");
    expect(await receive()).toEqual({ ok: true, reason: "" });
    await expect(ensureImage(host, layout, signal)).rejects.toMatchObject(refused("which another node sent, has other files"));
    await writeFile(join(theirs, "a"), honest);
    expect(await receive()).toMatchObject({ ok: false, reason: expect.stringContaining("has other files than the workload's") });
    await rm(join(dir, "state/images"), { recursive: true });
    await ensureImage(host, layout, signal);
    expect(await readFile(join(imageRootfs(host, pin.chainId), "a"), "utf8")).toBe("honest");
  });
});
