// An entry of the audit: what differed before and after, and the whole of it.
import type { AuditEntry } from "@aether/contract/gen/aether/v2/signal_pb";
import { renderFacts } from "./table.ts";
import { instant } from "./units.ts";

type Values = Readonly<Record<string, unknown>>;

const valuesOf = (value: unknown): Values => (typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {});

function dataOf({ dataJson }: Pick<AuditEntry, "dataJson">): { before: Values; after: Values; rest: Values } {
  let data: unknown;
  try {
    data = JSON.parse(dataJson);
  } catch {
    data = undefined; // of a later version
  }
  const { before, after, ...rest } = valuesOf(data);
  return { before: valuesOf(before), after: valuesOf(after), rest };
}

// What a request said must not reach the terminal as control characters.
const text = (value: unknown): string =>
  value === undefined ? "-" : (typeof value === "string" ? value : JSON.stringify(value)).replace(/\p{Cc}/gu, "?");

/** One a path that differs: "node.isCordoned: false -> true". */
export function changesOf(entry: Pick<AuditEntry, "dataJson">): string[] {
  const { before, after } = dataOf(entry);
  const paths = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return paths.map((path) => `${path}: ${text(before[path])} -> ${text(after[path])}`);
}

export function describeEntry(entry: AuditEntry): string {
  const { rest } = dataOf(entry);
  const changes = changesOf(entry);
  const said = Object.entries(rest).map(([name, value]) => `  ${name}: ${text(value)}`);
  return [
    renderFacts([
      ["entry", String(entry.sequence)],
      ["at", instant(entry.at)],
      ["who", entry.actor],
      ["from", entry.sourceAddress],
      ["what", entry.action],
      ["on", entry.subject],
      ["outcome", entry.outcome],
      ["trace", entry.traceId],
      ["hash", entry.hash],
    ]),
    ...(said.length === 0 ? [] : ["", "Said:", ...said]),
    ...(changes.length === 0 ? [] : ["", "Changed:", ...changes.map((each) => `  ${each}`)]),
  ].join("\n");
}
