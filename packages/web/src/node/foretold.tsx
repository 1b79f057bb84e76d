// What moving each of these workloads away would cost, by their certificates as they are now.
import { useQuery } from "@tanstack/react-query";
import { queries } from "../api/queries.ts";
import { VerdictBadge } from "../certificate/verdict.tsx";
import { duration } from "../format/units.ts";
import { WorkloadLink } from "../ui/links.tsx";

export function Foretold({ workloads }: { workloads: readonly string[] }) {
  const { data: certificates = [] } = useQuery(queries.certificates());
  return (
    <ul className="grid max-h-64 gap-1 overflow-y-auto">
      {workloads.map((name) => {
        const certificate = certificates.find(({ workload }) => workload === name);
        return (
          <li key={name} className="flex flex-wrap items-center gap-2">
            <WorkloadLink name={name} />
            {certificate !== undefined && <VerdictBadge verdict={certificate.verdict} />}
            <span className="nums text-soft">
              {certificate?.freezeMs === undefined
                ? "its freeze is not foretold"
                : `a move freezes it for about ${duration(certificate.freezeMs.expected)} (${duration(certificate.freezeMs.low)} to ${duration(certificate.freezeMs.high)})`}
              {certificate !== undefined && certificate.targetNodeId !== "" && `, to ${certificate.targetNodeId}`}
            </span>
          </li>
        );
      })}
    </ul>
  );
}
