// Memory that travels while the workload runs: each pass, what it left, and what the freeze is foretold to take after it.
import { CopyEnd, type MemoryCopy } from "@aether/contract/gen/aether/v2/memory_pb";
import { bytes, count, duration, words } from "../format/units.ts";
import { Facts } from "../ui/facts.tsx";
import { Panel } from "../ui/panel.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";

const ends: Partial<Record<CopyEnd, string>> = {
  [CopyEnd.CONVERGED]: "what is written between two passes fits in the freeze",
  [CopyEnd.NO_GAIN]: "another pass would have left as much: it writes as fast as the link carries",
  [CopyEnd.DEADLINE]: "the time that the deadline leaves was used up",
  [CopyEnd.FAILED]: "tracking failed; memory travelled by another mode",
};

export function MemoryPanel({ memory }: { memory: MemoryCopy }) {
  const most = Math.max(1, ...memory.rounds.map(({ sentBytes }) => Number(sentBytes)));
  return (
    <Panel
      title="Memory, copied while it runs"
      aside={
        <span className="text-xs">
          {ends[memory.end] ?? (memory.end === CopyEnd.UNSPECIFIED ? "under way" : words(CopyEnd[memory.end]))}
        </span>
      }
      isFlush
    >
      <Table label="Passes over the memory" head={["pass", "took", "written", "sent", "", "freeze foretold"]}>
        {memory.rounds.map((round) => (
          <Row key={round.number}>
            <Cell className="nums">{round.number}</Cell>
            <Cell className="nums whitespace-nowrap">{duration(round.durationMs)}</Cell>
            <Cell className="nums whitespace-nowrap">{count(round.writtenPages)} pages</Cell>
            <Cell className="nums whitespace-nowrap">{bytes(round.sentBytes)}</Cell>
            <Cell className="w-1/3 min-w-24">
              <div className="h-2 rounded bg-source/70" style={{ width: `${Math.max(1, (100 * Number(round.sentBytes)) / most)}%` }} />
            </Cell>
            <Cell className="nums whitespace-nowrap">{round.forecast === undefined ? "—" : duration(round.forecast.freezeMs)}</Cell>
          </Row>
        ))}
      </Table>
      <div className="border-t border-line px-4 py-3">
        <Facts
          facts={[
            memory.forecast !== undefined && [
              "rates",
              `writes ${bytes(memory.forecast.dirtyBytesPerSecond)}/s, link ${bytes(memory.forecast.linkBytesPerSecond)}/s (${memory.forecast.basis})`,
            ],
            [
              "at the freeze",
              `${count(memory.keptPages)} pages there already, ${count(memory.lastPages)} sent in the freeze, ${count(memory.imagePages)} in images`,
            ],
            memory.faults > 0n && ["asked for early", `${count(memory.faults)} pages, the longest took ${duration(memory.worstFaultMs)}`],
            memory.endDetail !== "" && ["why it ended", memory.endDetail],
          ]}
        />
      </div>
    </Panel>
  );
}
