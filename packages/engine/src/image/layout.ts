// An OCI image layout on disk (OCI image spec 1.1, image-layout.md): the manifest for this machine, its configuration and its layers. Every blob is
// named by its digest, and nothing of a blob is believed before the digest was compared.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { z } from "zod";

/** Of a manifest or a configuration: far above any real one. */
const maxDocumentBytes = 4 << 20;
const maxLayers = 256;

const digest = z.string().regex(/^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/, "is not a sha256 or sha512 digest");
const descriptor = z.object({
  mediaType: z.string(),
  digest,
  size: z.number().int().nonnegative(),
  platform: z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() }).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type Descriptor = z.infer<typeof descriptor>;

const index = z.object({ schemaVersion: z.literal(2), manifests: z.array(descriptor).max(1000) });
const manifest = z.object({ schemaVersion: z.literal(2), config: descriptor, layers: z.array(descriptor).max(maxLayers) });
const strings = z.array(z.string()).nullish();
const imageConfig = z.object({
  os: z.string(),
  architecture: z.string(),
  rootfs: z.object({ type: z.literal("layers"), diff_ids: z.array(digest) }),
  config: z
    .object({
      Env: strings,
      Entrypoint: strings,
      Cmd: strings,
      WorkingDir: z.string().nullish(),
      User: z.string().nullish(),
      StopSignal: z.string().nullish(),
    })
    .nullish(),
});

/** What an image says of the process that it was made for. */
export interface ImageDefaults {
  readonly env: Readonly<Record<string, string>>;
  /** Entrypoint and Cmd. */
  readonly argv: readonly string[];
  readonly workingDirectory: string;
  readonly user: string;
}

export interface Layer {
  readonly path: string;
  readonly digest: string;
  readonly size: number;
  readonly compression: "none" | "gzip" | "zstd";
  /** Of the uncompressed archive. */
  readonly diffId: string;
}

export interface ImageLayout {
  readonly manifestDigest: string;
  /** Names the unpacked file system: the digest over its layers in order (OCI image spec, config.md, "ChainID"). */
  readonly chainId: string;
  readonly layers: readonly Layer[];
  readonly defaults: ImageDefaults;
}

const refuse = (why: string, cause?: unknown) => fault("ROOTFS_INVALID", why, { field: "spec.rootfs", cause });

const indexTypes = ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const manifestTypes = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const compressions: Readonly<Record<string, Layer["compression"]>> = {
  "application/vnd.oci.image.layer.v1.tar": "none",
  "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
  "application/vnd.oci.image.layer.nondistributable.v1.tar": "none",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
  "application/vnd.docker.image.rootfs.diff.tar": "none",
  "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
};

/** The words of OCI for what Node calls x64 and arm64. */
const architecture = (): string => ({ x64: "amd64", arm64: "arm64" })[process.arch as string] ?? process.arch;

/** Reads the layout in `dir`; layers are not read yet. Throws ROOTFS_INVALID that says what is wrong with it. */
export async function readLayout(dir: string): Promise<ImageLayout> {
  const marker = await readDocument(join(dir, "oci-layout"), z.object({ imageLayoutVersion: z.string() }), "oci-layout");
  if (!marker.imageLayoutVersion.startsWith("1."))
    throw refuse(`${dir} is an image layout of version ${marker.imageLayoutVersion}, not 1.x`);
  const top = await readDocument(join(dir, "index.json"), index, "index.json");
  const chosen = await chooseManifest(dir, top.manifests);
  const { config, layers } = await readBlob(dir, chosen, manifest);
  const image = await readBlob(dir, config, imageConfig);
  if (image.os !== "linux" || image.architecture !== architecture())
    throw refuse(`the image is for ${image.os}/${image.architecture}, this machine is linux/${architecture()}`);
  const diffIds = image.rootfs.diff_ids;
  if (diffIds.length !== layers.length)
    throw refuse(`the image has ${layers.length} layers, and its configuration names ${diffIds.length}`);
  return {
    manifestDigest: chosen.digest,
    chainId: chainIdOf(diffIds),
    layers: layers.map((layer, at) => {
      const compression = compressions[layer.mediaType];
      if (compression === undefined) throw refuse(`a layer is of type ${layer.mediaType}, which cannot be unpacked`);
      return { path: blobPath(dir, layer.digest), digest: layer.digest, size: layer.size, compression, diffId: diffIds[at] ?? "" };
    }),
    defaults: defaultsOf(image.config ?? {}),
  };
}

/** @see OCI image spec, config.md: ChainID(L0|…|Ln) = digest(ChainID(L0|…|Ln-1) + " " + DiffID(Ln)). */
function chainIdOf(diffIds: readonly string[]): string {
  const sha = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
  const [first, ...rest] = diffIds;
  return rest.reduce((chain, diffId) => sha(`${chain} ${diffId}`), first ?? sha(""));
}

async function chooseManifest(dir: string, manifests: readonly Descriptor[], depth = 0): Promise<Descriptor> {
  const known = manifests.filter((one) => indexTypes.includes(one.mediaType) || manifestTypes.includes(one.mediaType));
  const fitting = known.filter(
    ({ platform }) => platform === undefined || (platform.os === "linux" && platform.architecture === architecture()),
  );
  const [first, second] = fitting;
  if (first === undefined) {
    const offered = known.map(({ platform }) => `${platform?.os}/${platform?.architecture}`).join(", ");
    throw refuse(`${dir} has no image for linux/${architecture()}${offered === "" ? "" : ` (it has ${offered})`}`);
  }
  if (second !== undefined && depth === 0 && first.platform === undefined) {
    const tags = fitting.map((one) => one.annotations?.["org.opencontainers.image.ref.name"] ?? one.digest.slice(0, 19)).join(", ");
    throw refuse(`${dir} holds ${fitting.length} images (${tags}): give a layout with one`);
  }
  if (manifestTypes.includes(first.mediaType)) return first;
  if (depth > 2) throw refuse(`${dir}: its indexes name each other`);
  return chooseManifest(dir, (await readBlob(dir, first, index)).manifests, depth + 1);
}

const blobPath = (dir: string, of: string): string => join(dir, "blobs", ...of.split(":"));

async function readBlob<T>(dir: string, from: Descriptor, schema: z.ZodType<T>): Promise<T> {
  return readDocument(blobPath(dir, from.digest), schema, from.digest, from);
}

async function readDocument<T>(path: string, schema: z.ZodType<T>, name: string, expected?: Descriptor): Promise<T> {
  const file = await open(path, "r").catch((cause: unknown) => {
    throw refuse(`${path} is missing: it is not a whole OCI image layout`, cause);
  });
  let bytes: Buffer;
  try {
    const { size } = await file.stat();
    if (size > maxDocumentBytes || (expected !== undefined && size !== expected.size))
      throw refuse(`${name} has ${size} bytes${expected === undefined ? ", which is too many" : `, not ${expected.size}`}`);
    bytes = await file.readFile();
  } finally {
    await file.close();
  }
  if (expected !== undefined && digestOf(expected.digest, bytes) !== expected.digest)
    throw refuse(`${name} does not have the content that its name says`);
  try {
    return schema.parse(JSON.parse(bytes.toString("utf8")));
  } catch (cause) {
    const why = cause instanceof z.ZodError ? `${cause.issues[0]?.path.join(".")}: ${cause.issues[0]?.message}` : "it is not JSON";
    throw refuse(`${name} is not valid: ${why}`, cause);
  }
}

const digestOf = (like: string, bytes: Uint8Array): string => {
  const algorithm = like.split(":")[0] ?? "sha256";
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
};

function defaultsOf(config: NonNullable<z.infer<typeof imageConfig>["config"]>): ImageDefaults {
  const env = (config.Env ?? []).map((entry) => {
    const at = entry.indexOf("=");
    return at === -1 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
  });
  return {
    env: Object.fromEntries(env),
    argv: [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])],
    workingDirectory: config.WorkingDir ?? "",
    user: config.User ?? "",
  };
}

/** The bytes of a layer's blob, compared with its size and digest at the end. Throws ROOTFS_INVALID. */
export async function* readLayer(layer: Layer): AsyncGenerator<Buffer> {
  const found = await stat(layer.path).catch((cause: unknown) => {
    throw refuse(`the layer ${layer.digest} is missing`, cause);
  });
  if (found.size !== layer.size) throw refuse(`the layer ${layer.digest} has ${found.size} bytes, not ${layer.size}`);
  const hash = createHash(layer.digest.split(":")[0] ?? "sha256");
  for await (const chunk of createReadStream(layer.path, { highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    yield chunk;
  }
  if (`${layer.digest.split(":")[0]}:${hash.digest("hex")}` !== layer.digest)
    throw refuse(`the layer ${layer.digest} does not have the content that its name says`);
}
