// The same store in an S3 bucket, by AWS's own client: requests are signed with the node's own credentials (an instance profile, the environment, a file),
// never with any of ours. Names and markers are those of the directory store. Only one process of all may create the sweep's marker: a conditional write.
// The client is loaded at the first use: a node that keeps its snapshots in a directory does not pay for it.

import { Fault, fault } from "@aether/contract";
import { sleep } from "@aether/kit";
import type { S3Client } from "@aws-sdk/client-s3";
import { digestOf, parseSnapshotId, type SnapshotStore, staleMs, sweepStaleMs } from "./store.ts";

export interface S3StoreOptions {
  readonly bucket: string;
  /** Names in the bucket begin with it; without a slash at its end. */
  readonly prefix: string;
  /** Default: what the environment or the profile says. */
  readonly region?: string;
  /** Of another service that speaks S3 (MinIO, Ceph): its address. Names are then part of the path, not of the host. */
  readonly endpoint?: string;
}

const requestDeadlineMs = 60_000;
/** The service deletes so many objects with one request. */
const deleteAtOnce = 1000;

/** @param owner names this host in its markers */
export function openS3Store(options: S3StoreOptions, owner: string): SnapshotStore {
  const { bucket: Bucket } = options;
  const key = (...parts: string[]) => [options.prefix, ...parts].filter((part) => part !== "").join("/");
  const chunkKey = (id: string) => key("chunks", id.slice(0, 2), id);
  const manifestKey = (id: string) => key("manifests", parseSnapshotId(id));
  const sweepKey = key("sweep");

  let opened: Promise<{ client: S3Client; s3: typeof import("@aws-sdk/client-s3") }> | undefined;
  async function open() {
    opened ??= import("@aws-sdk/client-s3").then((s3) => ({
      s3,
      client: new s3.S3Client({
        maxAttempts: 5,
        ...(options.region === undefined ? {} : { region: options.region }),
        ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint, forcePathStyle: true }),
      }),
    }));
    return opened;
  }

  /** One request with its deadline. `undefined` where the object, or its condition, is not there: `absent` names the answers that mean it. */
  async function ask<T>(
    what: string,
    absent: readonly number[],
    request: (client: S3Client, s3: typeof import("@aws-sdk/client-s3"), abortSignal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      const { client, s3 } = await open();
      return await request(client, s3, AbortSignal.timeout(requestDeadlineMs));
    } catch (caught) {
      const status = statusOf(caught);
      if (status !== undefined && absent.includes(status) && !isWithoutBucket(caught)) return undefined;
      throw fault("SNAPSHOT_STORE_UNAVAILABLE", `the bucket ${Bucket} cannot be used (${what}): ${textOf(caught)}`, { cause: caught });
    }
  }

  const put = (
    Key: string,
    Body: Uint8Array | string,
    more: { ChecksumSHA256?: string; IfNoneMatch?: string } = {},
    absent: number[] = [],
  ) =>
    ask(`write ${Key}`, absent, (client, s3, abortSignal) =>
      client.send(new s3.PutObjectCommand({ Bucket, Key, Body, ...more }), { abortSignal }),
    );
  const get = (Key: string) =>
    ask(`read ${Key}`, [404], async (client, s3, abortSignal) => {
      const { Body } = await client.send(new s3.GetObjectCommand({ Bucket, Key }), { abortSignal });
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    });
  const remove = (Key: string) =>
    ask(`delete ${Key}`, [404], (client, s3, abortSignal) => client.send(new s3.DeleteObjectCommand({ Bucket, Key }), { abortSignal }));
  const head = (Key: string) =>
    ask(`look for ${Key}`, [404], (client, s3, abortSignal) => client.send(new s3.HeadObjectCommand({ Bucket, Key }), { abortSignal }));

  /** Age of an object by the service's own clock as far as it says it; undefined when it is not there. */
  async function ageOf(Key: string): Promise<number | undefined> {
    const found = await head(Key);
    return found === undefined ? undefined : Date.now() - (found.LastModified?.getTime() ?? Date.now());
  }

  /** Names below a folder with their ages, page by page. */
  async function* list(folder: string): AsyncGenerator<{ readonly name: string; readonly ageMs: number }> {
    const Prefix = `${key(folder)}/`;
    let ContinuationToken: string | undefined;
    do {
      const page = await ask(`list ${Prefix}`, [], (client, s3, abortSignal) =>
        client.send(new s3.ListObjectsV2Command({ Bucket, Prefix, ...(ContinuationToken === undefined ? {} : { ContinuationToken }) }), {
          abortSignal,
        }),
      );
      for (const { Key = "", LastModified } of page?.Contents ?? [])
        yield { name: Key.slice(Prefix.length), ageMs: Date.now() - (LastModified?.getTime() ?? Date.now()) };
      ContinuationToken = page?.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (ContinuationToken !== undefined);
  }

  async function all(folder: string): Promise<{ readonly name: string; readonly ageMs: number }[]> {
    const found = [];
    for await (const one of list(folder)) found.push(one);
    return found;
  }

  return {
    async begin(snapshotId, signal) {
      const marker = key("pending", parseSnapshotId(snapshotId));
      const end = async () => void (await remove(marker));
      await put(marker, owner);
      try {
        // A sweep that began before the marker was there may not know of it.
        while (((await ageOf(sweepKey)) ?? sweepStaleMs) < sweepStaleMs) await sleep(500, signal);
      } catch (caught) {
        await end();
        throw caught;
      }
      return end;
    },
    async recover() {
      for (const { name } of await all("pending")) {
        const marker = key("pending", name);
        if ((await get(marker))?.toString() === owner) await remove(marker);
      }
    },
    async putChunk(bytes) {
      const id = digestOf(bytes);
      // The service compares what it has received with the digest before it keeps it.
      await put(chunkKey(id), bytes, { ChecksumSHA256: Buffer.from(id, "hex").toString("base64") });
      return id;
    },
    hasChunk: async (id) => (await head(chunkKey(id))) !== undefined,
    async getChunk(id) {
      const bytes = await get(chunkKey(id));
      if (bytes === undefined) throw fault("SNAPSHOT_CORRUPT", `the chunk ${id} is missing`);
      if (digestOf(bytes) !== id) throw fault("SNAPSHOT_CORRUPT", `the chunk ${id} does not have the content that its name says`);
      return bytes;
    },
    deleteChunk: async (id) => void (await remove(chunkKey(id))),
    putManifest: async (snapshotId, bytes) => void (await put(manifestKey(snapshotId), bytes)),
    hasManifest: async (snapshotId) => (await head(manifestKey(snapshotId))) !== undefined,
    getManifest: (snapshotId) => get(manifestKey(snapshotId)),
    listManifests: async () => (await all("manifests")).sort((a, b) => a.ageMs - b.ageMs).map(({ name }) => name),
    deleteManifest: async (snapshotId) => void (await remove(manifestKey(snapshotId))),
    async sweep(usedBy) {
      // 412: it is there. 409: somebody else makes it just now.
      const mine = await put(sweepKey, owner, { IfNoneMatch: "*" }, [409, 412]);
      if (mine === undefined) {
        if (((await ageOf(sweepKey)) ?? 0) >= sweepStaleMs) await remove(sweepKey);
        return 0;
      }
      try {
        for (const { name, ageMs } of await all("pending")) {
          if (ageMs < staleMs) return 0;
          await remove(key("pending", name));
        }
        const used = await usedBy();
        let gone = 0;
        let going: string[] = [];
        const flush = async () => {
          if (going.length === 0) return;
          const Objects = going.map((name) => ({ Key: key("chunks", name) }));
          await ask("delete chunks", [], (client, s3, abortSignal) =>
            client.send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }), { abortSignal }),
          );
          await put(sweepKey, owner); // it is still at work
          gone += going.length;
          going = [];
        };
        for await (const { name } of list("chunks")) {
          if (used.has(name.split("/").at(-1) ?? "")) continue;
          going.push(name);
          if (going.length === deleteAtOnce) await flush();
        }
        await flush();
        return gone;
      } finally {
        await remove(sweepKey);
      }
    },
  };
}

/** Also a 404, and nothing is known of what was in it. */
const isWithoutBucket = (caught: unknown): boolean => caught instanceof Error && caught.name === "NoSuchBucket";

function statusOf(caught: unknown): number | undefined {
  const metadata = typeof caught === "object" && caught !== null && "$metadata" in caught ? caught.$metadata : undefined;
  return typeof metadata === "object" && metadata !== null && "httpStatusCode" in metadata && typeof metadata.httpStatusCode === "number"
    ? metadata.httpStatusCode
    : undefined;
}

/** The service's name of a problem says more than its sentence, which may be empty. */
function textOf(caught: unknown): string {
  const problem = Fault.from(caught);
  const text = caught instanceof Error ? `${caught.name}: ${caught.message}` : problem.message;
  return text.slice(0, 300);
}
