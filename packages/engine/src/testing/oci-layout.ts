// Writes OCI image layouts for tests: honest ones, and ones that an attacker would make. The tar writer does what it is told, whatever the name.
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";

export interface TestEntry {
  readonly path: string;
  /** "0" file, "1" hard link, "2" symbolic link, "3" character device, "5" directory, "6" fifo. Default: file. */
  readonly flag?: string;
  readonly body?: string | Buffer;
  readonly linkPath?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly pax?: Readonly<Record<string, string | Buffer>>;
  /** Instead of the length of the body. */
  readonly size?: number;
}

export interface TestLayer {
  readonly entries: readonly TestEntry[];
  readonly compression?: "none" | "gzip" | "zstd";
}

const paddingOf = (size: number) => Buffer.alloc((512 - (size % 512)) % 512);

function header(entry: TestEntry, size: number, flag: string): Buffer {
  const block = Buffer.alloc(512);
  block.write(entry.path.slice(0, 100), 0, "utf8");
  const octal = (value: number, at: number, length: number) => block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at);
  octal(entry.mode ?? (flag === "5" ? 0o755 : 0o644), 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(1_700_000_000, 136, 12);
  block.write("        ", 148);
  block.write(flag, 156);
  block.write(entry.linkPath ?? "", 157, "utf8");
  block.write("ustar\x0000", 257);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

export function tarOf(entries: readonly TestEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    if (entry.pax !== undefined) {
      const records = Object.entries(entry.pax).map(([key, value]) => {
        const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
        let length = rest.length + 1;
        while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
        return Buffer.concat([Buffer.from(String(length)), rest]);
      });
      const data = Buffer.concat(records);
      parts.push(header({ path: "pax" }, data.length, "x"), data, paddingOf(data.length));
    }
    const body = Buffer.from(entry.body ?? "");
    parts.push(header(entry, entry.size ?? body.length, entry.flag ?? "0"), body, paddingOf(body.length));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

const sha256 = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

export interface LayoutOptions {
  readonly config?: object;
  readonly architecture?: string;
  /** Wrong on purpose: the digest that the configuration names for each layer's uncompressed archive. */
  readonly diffIds?: readonly string[];
}

/** Writes the layout; returns the path of each layer's blob. */
export async function writeLayout(dir: string, layers: readonly TestLayer[], options: LayoutOptions = {}): Promise<string[]> {
  const blobs = join(dir, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const put = async (mediaType: string, bytes: Uint8Array) => {
    const digest = sha256(bytes);
    await writeFile(join(blobs, digest.slice(7)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const compress = {
    none: (bytes: Buffer) => bytes,
    gzip: (bytes: Buffer) => gzipSync(bytes),
    zstd: (bytes: Buffer) => zstdCompressSync(bytes),
  };
  const suffix = { none: "", gzip: "+gzip", zstd: "+zstd" };
  const made = [];
  const diffIds = [];
  for (const { entries, compression = "gzip" } of layers) {
    const tar = tarOf(entries);
    diffIds.push(sha256(tar));
    made.push(await put(`application/vnd.oci.image.layer.v1.tar${suffix[compression]}`, compress[compression](tar)));
  }
  const architecture = options.architecture ?? { x64: "amd64", arm64: "arm64" }[process.arch as "x64"] ?? process.arch;
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const rootfs = { type: "layers", diff_ids: options.diffIds ?? diffIds };
  const config = await put(
    "application/vnd.oci.image.config.v1+json",
    json({ os: "linux", architecture, rootfs, config: options.config ?? {} }),
  );
  const manifest = await put("application/vnd.oci.image.manifest.v1+json", json({ schemaVersion: 2, config, layers: made }));
  await writeFile(join(dir, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  await writeFile(
    join(dir, "index.json"),
    json({ schemaVersion: 2, manifests: [{ ...manifest, platform: { os: "linux", architecture } }] }),
  );
  return made.map(({ digest }) => join(blobs, digest.slice(7)));
}
