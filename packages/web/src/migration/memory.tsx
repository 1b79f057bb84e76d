// Memory that travels while the workload runs: each pass, what it left, and what the freeze is foretold to take after it.
import { CopyEnd, type MemoryCopy } from "@aether/contract/gen/aether/v2/memory_pb";
import { bytes, duration, percent, plural, words } from "../format/units.ts";
import { Facts } from "../ui/facts.tsx";
import { Panel } from "../ui/panel.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { MemoryClassesText } from "./memory-classes.tsx";

const ends: Partial<Record<CopyEnd, string>> = {
  [CopyEnd.CONVERGED]: "what is written between two passes fits in the freeze",
  [CopyEnd.NO_GAIN]: "another pass would have left as much: it writes as fast as the link carries",
  [CopyEnd.DEADLINE]: "the time that the deadline leaves was used up",
  [CopyEnd.FAILED]: "tracking failed; memory travelled by another mode",
};

const pages = (value: bigint) => plural(Number(value), "page");

export function MemoryPanel({ memory }: { memory: MemoryCopy }) {
  const sent = memory.rounds.reduce((sum, { sentBytes }) => sum + Number(sentBytes), 0);
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
            <Cell className="nums whitespace-nowrap">{pages(round.writtenPages)}</Cell>
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
            memory.forecast?.classes !== undefined && ["travels", <MemoryClassesText classes={memory.forecast.classes} />],
            memory.transport !== "" && [
              "over the link",
              `${bytes(memory.wireBytes)}${sent > 0 && memory.transport !== "plain" ? `, compressed by ${memory.transport} to ${percent(Number(memory.wireBytes) / sent)}` : ", as they are"}`,
            ],
            memory.throttledToPercent > 0 && ["held down", `to ${memory.throttledToPercent} % of one processor while it was copied`],
            [
              "at the freeze",
              `${pages(memory.keptPages)} there already, ${pages(memory.lastPages)} sent in it, ${pages(memory.imagePages)} in images`,
            ],
            memory.sharedPages > 0n && [
              "shared objects",
              `${pages(memory.sharedPages)} compared equal or sent, put in place inside the freeze`,
            ],
            memory.faults > 0n && ["asked for early", `${pages(memory.faults)}, the longest took ${duration(memory.worstFaultMs)}`],
            memory.endDetail !== "" && ["why it ended", memory.endDetail],
          ]}
        />
      </div>
    </Panel>
  );
}
