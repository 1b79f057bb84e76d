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

/** @param isShort the colour's name alone, for lists. */
export function VerdictBadge({ verdict, isShort = false }: { verdict: Verdict; isShort?: boolean }) {
  const text = texts[verdict] ?? "not known";
  return <Badge tone={tones[verdict] ?? "plain"}>{isShort ? text.replace(/:.*/, "") : text}</Badge>;
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
