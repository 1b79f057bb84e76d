// Which queries an event, or a change without one, makes old. They come in bursts: what they make old is gathered, and read again once a moment later.
// Nothing here asks by the clock: what is shown is read when the control plane has said that it differs.
import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import type { Changes, NodeHeard } from "@aether/contract/gen/aether/v2/live_pb";
import type { Node } from "@aether/contract/gen/aether/v2/node_pb";
import type { Query, QueryClient } from "@tanstack/react-query";

/** First words of query keys, by the noun before the slash of the event's subject. */
const touched: Readonly<Record<string, readonly string[]>> = {
  node: ["node", "decision", "signal", "certificate", "risk"],
  workload: ["workload", "node", "certificate", "policy"],
  migration: ["migration", "workload", "node", "drill", "savings"],
  drill: ["drill", "node", "drill-schedule"],
  snapshot: ["snapshot", "workload"],
  certificate: ["certificate"],
  pool: ["risk"],
  feed: ["risk"],
  runbook: ["runbook"],
  "runbook-run": ["runbook-run"],
  policy: ["policy", "certificate"],
};

/** What is told of a node by its assessment changes nothing of the node itself: after a price rise that is every node at once. */
export const nounsOf = ({ type, subject }: Pick<Event, "type" | "subject">): readonly string[] =>
  type.startsWith("risk.") ? ["risk"] : (touched[subject.split("/")[0] ?? ""] ?? []);

/** What a change makes old besides the queries of its own noun. */
const widened: Readonly<Record<string, readonly string[]>> = { price: ["price", "savings"] };
/** Lists of these change with events alone, and may be long: a change makes only single ones old. */
const singly = new Set(["migration", "drill", "certificate"]);
/** Long windows of time hardly move. */
const slowWindowSeconds = 3_600;
const slowMs = 60_000;

const gatherMs = 150;
/** A fleet of many is read whole only so often; what happens to one of its nodes is read at once. */
const manyNodes = 500;
/** What workloads use is in their list: that one is read again with each measurement only while it is short. */
const fewWorkloads = 100;
const wholeFleetMs = 20_000;
/** Of more at once none is read by itself: the whole fleet is, a little later. */
const fewNodes = 20;

export interface Invalidator {
  note(event: Event): void;
  changed(changes: Changes): void;
  all(): void;
}

export function createInvalidator(client: QueryClient, readNode: (id: string) => Promise<Node | undefined>): Invalidator {
  const nouns = new Set<string>();
  const singles = new Set<string>();
  const subjects = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let fleetTimer: ReturnType<typeof setTimeout> | undefined;

  const soon = () => {
    if (timer === undefined) timer = setTimeout(flush, gatherMs);
  };
  const flush = () => {
    timer = undefined;
    const isFleetLarge = (client.getQueryData<readonly Node[]>(["node"])?.length ?? 0) > manyNodes;
    const nowMs = Date.now();
    const isOld = ({ queryKey: key, state }: Query) => {
      const [noun, second, , window] = key;
      if (typeof noun !== "string") return false;
      if (noun === "event") return typeof second === "string" && subjects.has(second);
      if (noun === "telemetry" && typeof window === "number" && window > slowWindowSeconds && nowMs - state.dataUpdatedAt < slowMs)
        return false;
      if (nouns.has(noun)) return !(noun === "node" && key.length === 1 && isFleetLarge);
      return singles.has(noun) && key.length > 1 && second !== "list";
    };
    void client.invalidateQueries({ predicate: isOld }, { cancelRefetch: false });
    if (isFleetLarge && nouns.has("node")) readMany([...subjects].filter((subject) => subject.startsWith("node/")));
    for (const each of [nouns, singles, subjects]) each.clear();
  };

  const readMany = (of: readonly string[]) => {
    for (const id of of.length > fewNodes ? [] : of.map((subject) => subject.slice("node/".length))) {
      const changed = readNode(id).then((node) => node && patch(new Map([[id, () => node]])));
      // It is read with the whole fleet a little later.
      changed.catch(() => undefined);
    }
    if (fleetTimer !== undefined) return;
    fleetTimer = setTimeout(() => {
      fleetTimer = undefined;
      void client.invalidateQueries({ queryKey: ["node"], exact: true }, { cancelRefetch: false });
    }, wholeFleetMs);
  };

  /** Into what is shown, without asking. */
  const patch = (changes: ReadonlyMap<string, (node: Node) => Node>) => {
    client.setQueryData<Node[]>(["node"], (nodes) => nodes?.map((node) => changes.get(node.id)?.(node) ?? node));
    for (const [id, change] of changes) client.setQueryData<Node>(["node", id], (node) => node && change(node));
  };

  return {
    note(event) {
      for (const noun of nounsOf(event)) nouns.add(noun);
      subjects.add(event.subject);
      soon();
    },
    changed({ nouns: told, nodes }) {
      for (const noun of told) {
        if (noun === "telemetry") {
          singles.add("workload");
          if ((client.getQueryData<readonly unknown[]>(["workload"])?.length ?? 0) <= fewWorkloads) nouns.add("workload");
        }
        if (singly.has(noun)) singles.add(noun);
        else for (const each of widened[noun] ?? [noun]) nouns.add(each);
      }
      if (told.length > 0) soon();
      if (nodes.length > 0) patch(new Map(nodes.map((heard) => [heard.id, (node: Node) => heardOf(node, heard)])));
    },
    all: () => void client.invalidateQueries({}, { cancelRefetch: false }),
  };
}

const heardOf = (node: Node, { isConnected, seenAt, usage }: NodeHeard): Node => ({
  ...node,
  isConnected,
  ...(seenAt === undefined ? {} : { seenAt }),
  ...(usage === undefined ? {} : { usage }),
});
