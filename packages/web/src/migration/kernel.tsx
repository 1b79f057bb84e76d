// The two kernels' word on a move. What a kernel did not see is absent, never 0.
import type { KernelFacts } from "@aether/contract/gen/aether/v2/kernel_pb";
import { count, duration } from "../format/units.ts";
import { Facts } from "../ui/facts.tsx";
import { Panel } from "../ui/panel.tsx";

const sources: Readonly<Record<string, string>> = {
  ebpf: "by programs in the kernel",
  proc: "by counters of /proc",
  unknown: "not measured",
};

export function KernelPanel({ source, target }: { source: KernelFacts | undefined; target: KernelFacts | undefined }) {
  if (source === undefined && target === undefined) return null;
  return (
    <Panel title="What the kernels saw">
      <div className="grid gap-x-8 gap-y-4 sm:grid-cols-2">
        {source !== undefined && <Side title="source" facts={source} />}
        {target !== undefined && <Side title="target" facts={target} />}
      </div>
    </Panel>
  );
}

const seen = (value: number | undefined, format: (value: number) => string) => (value === undefined ? "not seen" : format(value));
const micros = (value: number) => (value < 1000 ? `${Math.round(value)} µs` : duration(value / 1000));

function Side({ title, facts }: { title: "source" | "target"; facts: KernelFacts }) {
  return (
    <div>
      <h3 className={`mb-1 font-medium ${title === "source" ? "text-source" : "text-target"}`}>
        {title} <span className="font-normal text-soft">{sources[facts.source] ?? facts.source}</span>
      </h3>
      <Facts
        facts={[
          title === "target" && [
            "blackout",
            `${seen(facts.blackoutMs, duration)}${facts.blackoutErrorMs === undefined ? "" : ` ± ${duration(facts.blackoutErrorMs)}`}`,
          ],
          ["resets sent", seen(facts.resetsSent, count)],
          ["resets received", seen(facts.resetsReceived, count)],
          ["retransmitted", seen(facts.segmentsRetransmitted, count)],
          title === "target" && [
            "waited for a CPU",
            `${seen(facts.runQueueP50Us, micros)} median, ${seen(facts.runQueueP99Us, micros)} p99`,
          ],
          facts.observedMs !== undefined && ["observed for", duration(facts.observedMs)],
        ]}
      />
    </div>
  );
}
