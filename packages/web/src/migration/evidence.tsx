// The parts of what left and arrived, each with its Merkle root on both sides and, where there are few enough, the leaves that it was made of: among them
// where each TCP connection stood.
import type { Receipt } from "@aether/contract/gen/aether/v2/migration_pb";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { count, plural } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { ProblemNote } from "../ui/problem.tsx";
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

export function Evidence({ receipt: { migrationId, leftSource, reachedTarget } }: { receipt: Receipt }) {
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
      <Leaves id={migrationId} sections={leftSource.sections.length} />
    </>
  );
}

/** What the roots are made of. Kept with the receipt, and large: it is read when somebody looks. */
function Leaves({ id, sections }: { id: string; sections: number }) {
  const [isOpen, setOpen] = useState(false);
  const { data, isPending, error } = useQuery({
    queryKey: ["receipt", id],
    queryFn: async ({ signal }) => (await api.migrations.getReceipt({ id }, { signal })).receipt?.leaves ?? [],
    enabled: isOpen,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <details className="border-t border-line px-4 py-2" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="min-h-6 text-soft">What the roots are made of: the leaves of {plural(sections, "part")}</summary>
      {error !== null && <ProblemNote error={error} />}
      {isOpen && isPending && <p className="pulse py-2 text-soft">The receipt is read…</p>}
      {data?.length === 0 && <p className="py-2 text-soft">None are kept of this move; the roots are compared.</p>}
      {data?.map(({ section, leaves, isLeftOut }) => (
        <section key={section} className="mt-2" aria-label={`Leaves of ${section}`}>
          <h3 className="font-medium">
            {section}{" "}
            <span className="font-normal text-soft">{isLeftOut ? "too many to keep; the root is compared" : meanings[section]}</span>
          </h3>
          {!isLeftOut && (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard (WCAG 2.1.1)
            <ul className="mt-1 grid max-h-48 gap-0.5 overflow-y-auto font-mono text-xs" tabIndex={0} aria-label={section}>
              {leaves.slice(0, mostLeaves).map((leaf) => (
                <li key={leaf} className="wrap-anywhere">
                  {leaf}
                </li>
              ))}
              {leaves.length > mostLeaves && <li className="text-soft">and {count(leaves.length - mostLeaves)} more in the download</li>}
            </ul>
          )}
        </section>
      ))}
    </details>
  );
}
