// What a drill needs before it can begin, by its kind: refused before anything is announced.
import { fault, parseNodeId } from "@aether/contract";
import { DrillKind, type StartDrillRequest } from "@aether/contract/gen/aether/v2/drill_pb";
import type { Db } from "../db/database.ts";
import type { DrillKindText } from "../db/tables/drills.ts";
import { requireNode } from "../fleet/node-store.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { poolToMark } from "./capacity.ts";
import { requireChaos } from "./crash.ts";
import { kindText } from "./kinds.ts";
import { priceToAnnounce } from "./price.ts";

export interface Startable {
  readonly kind: DrillKindText;
  readonly nodeId: string;
  readonly windowSeconds: number;
  /** What is announced besides. */
  readonly staged: { readonly pool?: string; readonly priceUsdPerHour?: number };
}

export interface StartParts {
  readonly db: Db;
  readonly sessions: Pick<AgentSessions, "isConnected">;
  readonly canAnnounce: boolean;
  readonly nowMs: () => number;
}

type Wanted = Pick<StartDrillRequest, "kind" | "nodeId" | "windowSeconds" | "priceFactor">;

/** What can be said of it without looking at the fleet. Throws INVALID_ARGUMENT that names the field. */
export function checkWords({ kind, windowSeconds, priceFactor }: Wanted): Omit<Startable, "nodeId" | "staged"> & { priceFactor: number } {
  const text = kindText(kind);
  if (text === undefined)
    throw fault("INVALID_ARGUMENT", `kind must be NOTICE, REBALANCE, PRICE, CAPACITY or CRASH, not ${DrillKind[kind] ?? kind}`, {
      field: "kind",
    });
  const seconds = windowSeconds || 120;
  if (seconds < 10 || seconds > 3_600)
    throw fault("INVALID_ARGUMENT", `window_seconds must be 10 to 3600, not ${seconds}`, { field: "window_seconds" });
  if (priceFactor !== 0 && text !== "price")
    throw fault("INVALID_ARGUMENT", "price_factor belongs to a drill of the kind PRICE", { field: "price_factor" });
  if (priceFactor !== 0 && !(priceFactor >= 1.1 && priceFactor <= 100))
    throw fault("INVALID_ARGUMENT", `price_factor must be 1.1 to 100, not ${priceFactor}`, { field: "price_factor" });
  return { kind: text, windowSeconds: seconds, priceFactor: priceFactor || 3 };
}

/** Throws INVALID_ARGUMENT, NODE_NOT_FOUND, NODE_NOT_CONNECTED, NODE_LACKS_CAPABILITY, DRILL_UNAVAILABLE. */
export async function checkStart({ db, sessions, canAnnounce, nowMs }: StartParts, wanted: Wanted): Promise<Startable> {
  const { kind, windowSeconds, priceFactor } = checkWords(wanted);
  const node = await requireNode(db, parseNodeId(wanted.nodeId, "node_id"), "node_id");
  const needsInjector = kind === "notice" || kind === "rebalance" || kind === "capacity";
  if (needsInjector && !canAnnounce) throw fault("DRILL_UNAVAILABLE", "drill.injector is not configured");
  if (kind === "crash") requireChaos(node);
  if (!sessions.isConnected(node.id)) throw fault("NODE_NOT_CONNECTED", `${node.id} has no session: it would not report what it hears`);
  const staged =
    kind === "capacity"
      ? { pool: await poolToMark(db, node.id, sessions.isConnected) }
      : kind === "price"
        ? await priceToAnnounce(db, node, priceFactor, nowMs()).then(({ pool, usdPerHour }) => ({ pool, priceUsdPerHour: usdPerHour }))
        : {};
  return { kind, nodeId: node.id, windowSeconds, staged };
}
