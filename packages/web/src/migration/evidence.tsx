// The parts of what left and arrived, each with its Merkle root on both sides and, where there are few enough, the leaves that it was made of: among them
// where each TCP connection stood.
import type { Receipt } from "@aether/contract/gen/aether/v2/migration_pb";
import { count, plural } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";

const meanings: Readonly<Record<string, string>> = {
  images: "checkpoint images: name, bytes, sha256",
  memory: "pages copied ahead: process, pages, digest",
  files: "path, type, mode, owner, size, sha256",
  processes: "pid, parent, name, threads",
  descriptors: "process, descriptor, kind, position",
  sockets: "both ends, bytes not acknowledged, bytes not read",
  sequences: "TCP connections: both ends, next byte to write, next byte expected",
};

const mostLeaves = 200;

export function Evidence({ receipt: { leftSource, reachedTarget, leaves } }: { receipt: Receipt }) {
  if (leftSource === undefined || leftSource.sections.length === 0) return null;
  return (
    <>
      <details className="border-t border-line">
        <summary className="min-h-9 px-4 py-2 text-soft">
          {plural(leftSource.sections.length, "part")} with their Merkle roots, on both sides
        </summary>
        <Table label="Parts" head={["part", "leaves", "", "root"]}>
          {leftSource.sections.map(({ name, leafCount, root }) => {
            const arrived = reachedTarget?.sections.find((each) => each.name === name);
            return (
              <Row key={name}>
                <Cell>
                  <span className="font-medium">{name}</span> <span className="block text-xs text-soft">{meanings[name] ?? ""}</span>
                </Cell>
                <Cell className="nums">{count(leafCount)}</Cell>
                <Cell>
                  {arrived === undefined ? (
                    <Badge>not on the target</Badge>
                  ) : arrived.root === root ? (
                    <Badge tone="good">equal</Badge>
                  ) : (
                    <Badge tone="bad">differs</Badge>
                  )}
                </Cell>
                <Cell className="max-w-96 font-mono text-xs break-all text-soft">{root}</Cell>
              </Row>
            );
          })}
        </Table>
      </details>
      {leaves.map(({ section, leaves: all, isLeftOut }) => (
        <details key={section} className="border-t border-line px-4 py-2">
          <summary className="min-h-6 text-soft">
            {isLeftOut
              ? `${section}: too many leaves to keep; the root is compared`
              : `${section}: ${plural(all.length, "leaf", "leaves")}`}
          </summary>
          {!isLeftOut && (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard (WCAG 2.1.1)
            <ul className="mt-2 grid max-h-72 gap-1 overflow-y-auto font-mono text-xs" tabIndex={0} aria-label={`Leaves of ${section}`}>
              {all.slice(0, mostLeaves).map((leaf) => (
                <li key={leaf} className="break-all">
                  {leaf}
                </li>
              ))}
              {all.length > mostLeaves && <li className="text-soft">and {count(all.length - mostLeaves)} more in the download</li>}
            </ul>
          )}
        </details>
      ))}
    </>
  );
}
