// An example of each request, so that a reader of the reference sees one that could be sent.
import { type DescField, type DescMessage, type JsonObject, type JsonValue, ScalarType } from "@bufbuild/protobuf";

/** What a field of this name would hold. */
const byName: Readonly<Record<string, JsonValue>> = {
  name: "db",
  workload: "db",
  node_id: "n1",
  node_ids: ["n1"],
  target_node_id: "n2",
  reason: "kernel update",
  argv: ["redis-server", "--bind", "0.0.0.0"],
  rootfs: "host",
  role: "ROLE_VIEWER",
  kind: "DRILL_KIND_NOTICE",
  mode: "MIGRATION_MODE_AUTO",
  subject: "workload/db",
  password: "correct horse battery staple",
  current_password: "the one until now",
  new_password: "correct horse battery staple",
  valid_seconds: 3600,
  window_seconds: 120,
  grace_seconds: 10,
  memory_limit_bytes: "1073741824",
  pids_limit: 512,
  address: "10.77.1.20",
  tcp_port: 6379,
  spot_price_history: [0.031, 0.031, 0.034],
  capacity_score: 0.7,
};

/** Of a request: two levels deep, one field of each oneof, nothing that the path gives. */
export function exampleOf(message: DescMessage, without: ReadonlySet<string> = new Set(), depth = 2): JsonObject {
  const out: JsonObject = {};
  const chosen = new Set<string>();
  for (const field of message.fields) {
    if (without.has(field.name) || (field.oneof !== undefined && chosen.has(field.oneof.name))) continue;
    const value = exampleValue(field, depth);
    if (value === undefined) continue;
    if (field.oneof !== undefined) chosen.add(field.oneof.name);
    out[field.jsonName] = value;
  }
  return out;
}

function exampleValue(field: DescField, depth: number): JsonValue | undefined {
  const known = byName[field.name];
  if (
    known !== undefined &&
    field.fieldKind !== "message" &&
    (field.enum === undefined || field.enum.values.some(({ name }) => name === known))
  ) {
    return known;
  }
  if (field.fieldKind === "message") {
    if (field.message.typeName === "google.protobuf.Timestamp") return "2026-01-02T03:04:05Z";
    if (depth === 0 || field.message.typeName.startsWith("google.")) return undefined;
    const inner = exampleOf(field.message, new Set(), depth - 1);
    return Object.keys(inner).length === 0 ? undefined : inner;
  }
  if (field.fieldKind === "enum") return field.enum.values[1]?.name ?? field.enum.values[0]?.name;
  if (field.fieldKind === "scalar") return field.scalar === ScalarType.BOOL ? false : undefined;
  return undefined;
}
