// What the preflight foretold of this move, before anything was copied, beside what was measured.
import type { MoveForecast } from "@aether/contract/gen/aether/v2/memory_pb";
import type { Receipt } from "@aether/contract/gen/aether/v2/migration_pb";
import { bytes, duration } from "../format/units.ts";
import { Cell, Row, Table } from "../ui/table.tsx";

export function Foretold({ receipt, predicted }: { receipt: Receipt; predicted: MoveForecast }) {
  const freezeMs = receipt.unknown.includes("freeze_ms") ? 0 : receipt.freezeMs;
  const copiedMs = (receipt.memory?.rounds ?? []).reduce((sum, { durationMs }) => sum + durationMs, 0);
  const rows = [
    { name: "freeze", foretold: predicted.freezeMs, measured: freezeMs, format: duration },
    // What comes before is not in the forecast: preparing, files, and the answers on their way.
    ...(copiedMs > 0 && freezeMs > 0
      ? [{ name: "copying memory, and the freeze", foretold: predicted.totalMs, measured: copiedMs + freezeMs, format: duration }]
      : []),
    { name: "memory", foretold: Number(predicted.memoryBytes), measured: Number(receipt.leftSource?.memoryBytes ?? 0n), format: bytes },
  ];
  return (
    <div className="border-t border-line">
      <Table label="Foretold and measured" head={["foretold before it began", "foretold", "measured", "measured / foretold"]}>
        {rows.map(({ name, foretold, measured, format }) => (
          <Row key={name}>
            <Cell className="whitespace-nowrap">{name}</Cell>
            <Cell className="nums whitespace-nowrap">{foretold > 0 ? format(foretold) : "—"}</Cell>
            <Cell className="nums whitespace-nowrap">{measured > 0 ? format(measured) : "not measured"}</Cell>
            <Cell className="nums">{foretold > 0 && measured > 0 ? `${(measured / foretold).toFixed(2)} ×` : "—"}</Cell>
          </Row>
        ))}
      </Table>
      {predicted.basis !== "" && <p className="px-4 pb-3 text-xs text-soft">What that was made of: {predicted.basis}.</p>}
    </div>
  );
}
