// The evacuation certificate in a word. Where the control plane does not issue certificates, nothing is said.
import { Verdict } from "@aether/contract/gen/aether/v2/certificate_pb";
import { useQuery } from "@tanstack/react-query";
import { queries } from "../api/queries.ts";
import { Badge, type Tone } from "../ui/badge.tsx";

const tones: Partial<Record<Verdict, Tone>> = { [Verdict.GREEN]: "good", [Verdict.AMBER]: "warn", [Verdict.RED]: "bad" };
const texts: Partial<Record<Verdict, string>> = {
  [Verdict.GREEN]: "green: yes",
  [Verdict.AMBER]: "amber: should",
  [Verdict.RED]: "red: no",
};

export function VerdictBadge({ verdict }: { verdict: Verdict }) {
  return <Badge tone={tones[verdict] ?? "plain"}>{texts[verdict] ?? "not known"}</Badge>;
}

export function VerdictOf({ workload }: { workload: string }) {
  const { data } = useQuery(queries.certificates());
  const certificate = data?.find((each) => each.workload === workload);
  if (certificate === undefined) return <span className="text-soft">—</span>;
  return (
    <span title={certificate.summary}>
      <VerdictBadge verdict={certificate.verdict} />
    </span>
  );
}
