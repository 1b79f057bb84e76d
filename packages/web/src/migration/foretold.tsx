// What the preflight foretold of this move, before anything was copied, beside what was measured.
import type { MoveForecast } from "@aether/contract/gen/aether/v2/memory_pb";
import type { Receipt } from "@aether/contract/gen/aether/v2/migration_pb";
import { bytes, duration } from "../format/units.ts";
import { Cell, Row, Table } from "../ui/table.tsx";

export function Foretold({ receipt, predicted }: { receipt: Receipt; predicted: MoveForecast }) {
  const isKnown = !receipt.unknown.includes("freeze_ms");
  const rows = [
    { name: "freeze", foretold: predicted.freezeMs, measured: isKnown ? receipt.freezeMs : 0, format: duration },
    { name: "from the plan to the resume", foretold: predicted.totalMs, measured: receipt.totalMs, format: duration },
    { name: "memory", foretold: Number(predicted.memoryBytes), measured: Number(receipt.leftSource?.memoryBytes ?? 0n), format: bytes },
  ];
  return (
    <div className="border-t border-line">
      <Table label="Foretold and measured" head={["", "foretold", "measured", "measured / foretold"]}>
        {rows.map(({ name, foretold, measured, format }) => (
          <Row key={name}>
            <Cell className="whitespace-nowrap">{name}</Cell>
            <Cell className="nums whitespace-nowrap">{foretold > 0 ? format(foretold) : "—"}</Cell>
            <Cell className="nums whitespace-nowrap">{measured > 0 ? format(measured) : "not measured"}</Cell>
            <Cell className="nums">{foretold > 0 && measured > 0 ? `${Number((measured / foretold).toPrecision(2))} ×` : "—"}</Cell>
          </Row>
        ))}
      </Table>
      <p className="px-4 pb-3 text-xs text-soft">Foretold from rates that were {predicted.basis || "not said"}.</p>
    </div>
  );
}
