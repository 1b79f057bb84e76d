// What left, what arrived, and every comparison: read by whoever must believe it.
import type { Receipt } from "@aether/contract/gen/aether/v2/migration_pb";
import { lazy, type ReactNode, Suspense } from "react";
import { bytes, count, duration, plural } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Facts } from "../ui/facts.tsx";
import { Panel } from "../ui/panel.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Foretold } from "./foretold.tsx";
import { Evidenced } from "./value.tsx";

const Evidence = lazy(async () => ({ default: (await import("./evidence.tsx")).Evidence }));
const VerifyReceipt = lazy(() => import("./verify.tsx"));

export function ReceiptPanel({ receipt, aside }: { receipt: Receipt; aside?: ReactNode }) {
  const { network, leftSource, reachedTarget } = receipt;
  const predicted = receipt.predicted ?? receipt.memory?.predicted;
  /** What could not be measured is not a number. */
  const known = (name: string, text: string) => (receipt.unknown.includes(name) ? "not measured" : text);
  return (
    <Panel
      title="Receipt"
      aside={
        <>
          {aside}
          {receipt.isWhole ? <Badge tone="good">whole: nothing was lost</Badge> : <Badge tone="bad">not whole</Badge>}
        </>
      }
      isFlush
    >
      <div className="grid gap-x-8 gap-y-2 px-4 py-3 sm:grid-cols-2">
        <Facts
          facts={[
            ["frozen for", known("freeze_ms", duration(receipt.freezeMs))],
            ["whole move", duration(receipt.totalMs)],
            ["epoch", `${receipt.epochBefore} → ${receipt.epochAfter}`],
            leftSource !== undefined && ["memory", `${bytes(leftSource.memoryBytes)}, ${count(leftSource.pageCount)} pages`],
            leftSource !== undefined && ["processes", count(leftSource.processCount)],
          ]}
        />
        {network !== undefined && (
          <Facts
            facts={[
              ["packets held", known("network.packets_held", `${count(network.packetsHeld)} (${network.holdMethod || "no hold"})`)],
              ["packets replayed", known("network.packets_replayed", count(network.packetsReplayed))],
              ["packets dropped", known("network.packets_dropped", count(network.packetsDropped))],
              ["resets sent", known("network.resets_sent", count(network.resetsSent))],
              ["retransmitted", known("network.segments_retransmitted", plural(network.segmentsRetransmitted, "segment"))],
            ]}
          />
        )}
      </div>
      <div className="border-t border-line">
        <Table label="Comparisons" head={["compared", "", "left the source", "reached the target"]}>
          {receipt.comparisons.map((each) => (
            <Row key={each.what}>
              <Cell className="whitespace-nowrap">{each.what}</Cell>
              <Cell>{each.isEqual ? <Badge tone="good">equal</Badge> : <Badge tone="bad">differs</Badge>}</Cell>
              <Cell className="max-w-80 font-mono text-xs wrap-anywhere text-soft">
                <Evidenced text={each.source} />
              </Cell>
              <Cell className="max-w-80 font-mono text-xs wrap-anywhere text-soft">
                {each.isEqual && each.target === each.source ? "the same" : <Evidenced text={each.target} />}
              </Cell>
            </Row>
          ))}
        </Table>
      </div>
      {predicted !== undefined && <Foretold receipt={receipt} predicted={predicted} />}
      <Suspense fallback={<div className="h-14" />}>
        <VerifyReceipt id={receipt.migrationId} />
      </Suspense>
      {leftSource !== undefined && leftSource.images.length > 0 && (
        <details className="border-t border-line px-4 py-2">
          <summary className="min-h-6 text-soft">{plural(leftSource.images.length, "image")} with their sha256, on both sides</summary>
          <ul className="mt-2 grid gap-1 font-mono text-xs">
            {leftSource.images.map((image) => {
              const arrived = reachedTarget?.images.find(({ name }) => name === image.name);
              return (
                <li key={image.name} className="break-all">
                  {image.name} <span className="text-soft">{bytes(image.bytes)}</span> {image.sha256}{" "}
                  <span className={arrived?.sha256 === image.sha256 ? "text-good" : "text-bad"}>
                    {arrived === undefined
                      ? "not on the target's list"
                      : arrived.sha256 === image.sha256
                        ? "= target"
                        : `≠ ${arrived.sha256}`}
                  </span>
                </li>
              );
            })}
          </ul>
        </details>
      )}
      <Suspense>
        <Evidence receipt={receipt} />
      </Suspense>
    </Panel>
  );
}
