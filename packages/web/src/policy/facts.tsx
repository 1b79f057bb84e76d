import type { Policy } from "@aether/contract/gen/aether/v2/policy_pb";
import { Facts } from "../ui/facts.tsx";
import { WorkloadLink } from "../ui/links.tsx";
import { Time } from "../ui/time.tsx";
import { selectorText, settingsInWords } from "./settings.ts";

const mostShown = 20;

/** What a policy says, and whom it binds now. */
export function PolicyFacts({ policy, isInForce }: { policy: Policy; isInForce: boolean }) {
  const { description, rank, settings, workloads, version, changedAt, changedBy } = policy;
  const sets = settingsInWords(settings);
  return (
    <>
      {description !== "" && <p className="mb-2 wrap-anywhere text-soft">{description}</p>}
      <Facts
        facts={[
          ["workloads with", <Selector policy={policy} />],
          ["rank", rank],
          ["sets", sets.length === 0 ? "nothing" : sets.map((each) => <div key={each}>{each}</div>)],
          isInForce && [
            "under it now",
            workloads.length === 0 ? (
              "none"
            ) : (
              <span className="flex flex-wrap gap-x-3">
                {workloads.slice(0, mostShown).map((each) => (
                  <WorkloadLink key={each} name={each} />
                ))}
                {workloads.length > mostShown && <span className="text-soft">and {workloads.length - mostShown} more</span>}
              </span>
            ),
          ],
          [
            `version ${version}`,
            <>
              set <Time at={changedAt} /> by {changedBy}
            </>,
          ],
        ]}
      />
    </>
  );
}

export function Selector({ policy }: { policy: Policy }) {
  const text = selectorText(policy);
  return text === "" ? "any labels: every workload" : <code className="font-mono text-xs">{text}</code>;
}
