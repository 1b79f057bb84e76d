// ArtifactService: snapshots as files. The node that reaches the store reads and writes it; the file passes through a spool here, so that a client may
// come back for the rest, in constant memory whatever the size. A file is one line that says what the snapshot is, and what the node's store gave.
import { fault, isFaultCode, parseLabel, parseWorkloadName } from "@aether/contract";
import { CommandOutcome, type CommandSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { ArtifactService, type UploadArtifactRequest } from "@aether/contract/gen/aether/v2/artifact_pb";
import { ManifestSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { type Snapshot, SnapshotSchema, SnapshotService, SnapshotState } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { type WorkloadSpec, WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { type Logger, sleep } from "@aether/kit";
import { fromJsonString, type JsonValue, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { durationFromMs, timestampDate } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import type { Db } from "../db/database.ts";
import { toColumn } from "../db/proto.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { callerOf } from "../http/caller.ts";
import type { OwnCall } from "../http/own-call.ts";
import { newId } from "../ids.ts";
import type { Part } from "../part.ts";
import type { AddressPool } from "../workload/address-pool.ts";
import { parseSpec } from "../workload/spec.ts";
import type { Spool, Whole } from "./spool.ts";
import type { Transfers } from "./transfers.ts";

export interface ArtifactOptions {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: AgentSessions;
  readonly transfers: Transfers;
  readonly spool: Spool;
  readonly call: OwnCall;
  readonly pool: AddressPool;
  readonly log: Logger;
}

const transferMs = 3_600_000;
const spoolKeptMs = 86_400_000;
const cutEveryMs = 600_000;
const longestHead = 1 << 20;
const format = "aether-snapshot/1";

export interface Artifacts extends Part {
  stop(): Promise<void>;
  /** The whole file of a snapshot that is ready, kept for a while. Throws SNAPSHOT_NOT_FOUND, NODE_NOT_CONNECTED, and what the node says. */
  file(snapshot: Snapshot): Promise<Whole>;
}

export function createArtifacts(options: ArtifactOptions): Artifacts {
  const { db, events, sessions, transfers, spool, call, pool, log } = options;
  const stopping = new AbortController();
  let loop: Promise<void> = Promise.resolve();
  /** Two clients that want the same snapshot wait for one file. */
  const making = new Map<string, Promise<Whole>>();
  /** One client at a time writes an upload. */
  const uploading = new Set<string>();

  async function order(nodeId: string, action: NonNullable<MessageInitShape<typeof CommandSchema>["action"]>): Promise<void> {
    const command = { id: newId("cmd"), validFor: durationFromMs(transferMs), action };
    const result = await sessions.send(nodeId, command, AbortSignal.any([stopping.signal, AbortSignal.timeout(transferMs)]));
    if (result.outcome === CommandOutcome.OK) return;
    const code = result.error?.code ?? "";
    throw fault(isFaultCode(code) ? code : "UNAVAILABLE", result.error?.message ?? `${nodeId} did not do it`);
  }

  /** A node that reaches the store: the one that made the snapshot, or any. */
  function nodeFor(wanted: string): string {
    const nodeId = sessions.isConnected(wanted) ? wanted : sessions.connectedNodes()[0];
    if (nodeId === undefined) throw fault("NODE_NOT_CONNECTED", "no node is connected that could reach the store");
    return nodeId;
  }

  function fileOf(snapshot: Snapshot): Promise<Whole> {
    const running = making.get(snapshot.id);
    if (running !== undefined) return running;
    const work = (async () => {
      const kept = await spool.find(snapshot.id);
      if (kept !== undefined) return kept;
      const nodeId = nodeFor(snapshot.nodeId);
      return spool.make(snapshot.id, async (write) => {
        await write(Buffer.from(`${JSON.stringify({ format, snapshot: toJson(SnapshotSchema, snapshot) })}\n`));
        const export_ = { nodeId, take: write };
        await transfers.open(export_, (transferId) =>
          order(nodeId, { case: "exportSnapshot", value: { snapshotId: snapshot.id, transferId } }),
        );
      });
    })().finally(() => making.delete(snapshot.id));
    making.set(snapshot.id, work);
    return work;
  }

  async function readSnapshot(workload: string, id: string, context: HandlerContext): Promise<Snapshot> {
    const { snapshot } = await call(SnapshotService.method.getSnapshot, { id }, context);
    if (snapshot?.spec?.name !== workload)
      throw fault("SNAPSHOT_NOT_FOUND", `there is no snapshot ${id.slice(0, 60)} of ${workload}`, { field: "snapshot" });
    if (snapshot.state === SnapshotState.CORRUPT)
      throw fault("SNAPSHOT_CORRUPT", `${id} does not match its manifest`, { field: "snapshot" });
    if (snapshot.state !== SnapshotState.READY) throw fault("SNAPSHOT_NOT_READY", `${id} is not ready`, { field: "snapshot" });
    return snapshot;
  }

  async function upload(requests: AsyncIterable<UploadArtifactRequest>, context: HandlerContext) {
    const iterator = requests[Symbol.asyncIterator]();
    const first = await iterator.next();
    if (first.done) throw fault("INVALID_ARGUMENT", "nothing came", { field: "workload" });
    const { offset, sha256Follows } = first.value;
    let { sha256 } = first.value;
    const workload = parseWorkloadName(first.value.workload, "workload");
    const uploadId = first.value.uploadId === "" ? newId("cmd") : parseLabel(first.value.uploadId, "upload_id");
    if (!sha256Follows) requireDigest(sha256);
    const name = uploadName(workload, uploadId);
    if (uploading.has(name)) throw fault("UPLOAD_RUNNING", `${uploadId} is being uploaded`, { field: "upload_id" });
    uploading.add(name);
    let isTaken = false;
    try {
      const out = await spool.extend(name);
      try {
        if (offset !== BigInt(out.bytes))
          throw fault("INVALID_ARGUMENT", `offset is ${offset}; the next byte is ${out.bytes}`, {
            field: "offset",
            details: { receivedBytes: String(out.bytes) },
          });
        await out.write(first.value.data);
        for (let step = await iterator.next(); !step.done; step = await iterator.next()) {
          await out.write(step.value.data);
          if (sha256Follows && step.value.sha256 !== "") sha256 = step.value.sha256;
        }
        // A client that is gone ends the messages as one that is done: its file is not whole, and not to be judged (and dropped) as if it were.
        if (context.signal.aborted) throw fault("CANCELLED", "the client closed the connection before the file was whole");
      } finally {
        await out.close(); // what came is there for the next attempt
      }
      requireDigest(sha256);
      const snapshot = await takeOver(workload, name, sha256, context);
      isTaken = true;
      return { snapshot, receivedBytes: BigInt(out.bytes) };
    } finally {
      if (!isTaken && first.value.uploadId === "") await spool.drop(spool.uploadPath(name)); // nobody can come back for it
      uploading.delete(name);
    }
  }

  /** The whole file is here. */
  async function takeOver(workload: string, name: string, sha256: string, context: HandlerContext): Promise<Snapshot> {
    const file = spool.uploadPath(name);
    const found = await spool.digest(file);
    if (found !== sha256) {
      await spool.drop(file);
      throw fault("DIGEST_MISMATCH", `what came has the sha256 ${found}, not ${sha256}`, { field: "sha256" });
    }
    let id: string;
    try {
      const { snapshot, from, ...found } = await readFileHead(spool, file);
      const spec = parseSpec(found.spec, pool); // somebody else may have written it; a restore starts by it
      id = snapshot.id;
      if (spec.name !== workload) throw fault("INVALID_ARGUMENT", `the file is a snapshot of ${spec.name}`, { field: "workload" });
      const existing = await db.selectFrom("snapshots").select("id").where("id", "=", snapshot.id).executeTakeFirst();
      if (existing !== undefined) throw fault("SNAPSHOT_EXISTS", `${snapshot.id} is in the store`, { field: "workload" });
      const nodeId = nodeFor(snapshot.nodeId);
      const give = () => spool.read(file, from, undefined);
      await transfers.open({ nodeId, give }, (transferId) =>
        order(nodeId, { case: "importSnapshot", value: { snapshotId: snapshot.id, transferId } }),
      );
      await record(snapshot, spec, nodeId, callerOf(context).actor);
    } finally {
      await spool.drop(file);
    }
    return readSnapshot(workload, id, context);
  }

  async function record(snapshot: Snapshot, spec: WorkloadSpec, nodeId: string, actor: string): Promise<void> {
    await db
      .transaction()
      .execute(async (tx) => {
        await tx
          .insertInto("snapshots")
          .values({
            id: snapshot.id,
            workload: spec.name,
            spec: JSON.stringify(toJson(WorkloadSpecSchema, spec) as JsonValue),
            state: "ready",
            node_id: nodeId,
            epoch: Number(snapshot.epoch),
            bytes: Number(snapshot.bytes),
            freeze_ms: snapshot.freezeMs,
            manifest: snapshot.manifest === undefined ? null : toColumn(ManifestSchema, snapshot.manifest),
            manifest_sha256: snapshot.manifestSha256,
            ...(snapshot.createdAt === undefined ? {} : { created_at: timestampDate(snapshot.createdAt) }),
            cause: `upload/${actor}`.slice(0, 100),
          })
          .execute();
        await events.append(tx, {
          type: "snapshot.uploaded",
          subject: `snapshot/${snapshot.id}`,
          message: `${actor} brought ${snapshot.id} of ${spec.name} back into the store`,
          data: { workload: spec.name },
        });
      })
      .catch((caught: unknown) => {
        if (!isUniqueViolation(caught, "snapshots_pkey")) throw caught;
        throw fault("SNAPSHOT_EXISTS", `${snapshot.id} is in the store`, { field: "workload" });
      });
  }

  return {
    file: fileOf,
    routes(router) {
      transfers.routes(router);
      router.service(ArtifactService, {
        uploadArtifact: upload,
        async getArtifactUpload({ workload, uploadId }) {
          const name = uploadName(parseWorkloadName(workload, "workload"), parseLabel(uploadId, "upload_id"));
          return { uploadId, receivedBytes: BigInt(await spool.received(name)) };
        },
        async *downloadArtifact({ workload, snapshot: id, offset, length }, context) {
          const snapshot = await readSnapshot(parseWorkloadName(workload, "workload"), id, context);
          const { path, bytes, sha256 } = await fileOf(snapshot);
          if (offset > 0n && offset >= BigInt(bytes))
            throw fault("RANGE_NOT_SATISFIABLE", `the file has ${bytes} bytes`, {
              field: "offset",
              details: { totalBytes: String(bytes) },
            });
          const left = bytes - Number(offset);
          const wanted = length === 0n || length > BigInt(left) ? left : Number(length);
          context.responseHeader.set("aether-content-disposition", `attachment; filename="${id}.aether"`);
          yield { totalBytes: BigInt(bytes), sha256 };
          for await (const data of spool.read(path, Number(offset), wanted)) yield { data };
        },
      });
    },
    async start(outer) {
      const signal = AbortSignal.any([outer, stopping.signal]);
      loop = (async () => {
        while (!signal.aborted) {
          await spool.cut(spoolKeptMs).catch((caught: unknown) => log.warn({ err: caught }, "artifact.spool_not_cut"));
          await sleep(cutEveryMs, signal).catch(() => undefined);
        }
      })();
    },
    async stop() {
      stopping.abort(fault("CANCELLED", "the control plane stops"));
      await loop;
    },
  };
}

function requireDigest(sha256: string): void {
  if (/^[0-9a-f]{64}$/.test(sha256)) return;
  throw fault("INVALID_ARGUMENT", "sha256 of the whole file is needed, in hexadecimal, or Repr-Digest", { field: "sha256" });
}

const uploadName = (workload: string, uploadId: string): string => `upload-${workload}-${uploadId}`;

/** The first line. Throws ARTIFACT_UNREADABLE. */
async function readFileHead(spool: Spool, file: string): Promise<{ snapshot: Snapshot; spec: WorkloadSpec; from: number }> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of spool.read(file, 0, longestHead)) chunks.push(chunk);
  const text = Buffer.concat(chunks);
  const end = text.indexOf(10);
  try {
    const line = JSON.parse(text.toString("utf8", 0, Math.max(0, end))) as { format?: unknown; snapshot?: unknown };
    if (line.format !== format) throw new Error(`its format is ${String(line.format)}`);
    const snapshot = fromJsonString(SnapshotSchema, JSON.stringify(line.snapshot), { ignoreUnknownFields: true });
    if (snapshot.spec === undefined || !/^snap-[a-z0-9-]{1,58}$/.test(snapshot.id)) throw new Error("it does not say of what");
    return { snapshot, spec: snapshot.spec, from: end + 1 };
  } catch (cause) {
    throw fault("ARTIFACT_UNREADABLE", `the file is not a snapshot: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
