import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import { NodeLink, SubjectLink, WorkloadLink } from "./links.tsx";
import { Time } from "./time.tsx";

const marks: readonly (readonly [RegExp, string])[] = [
  [/\.(failed|lost|exited|stale_copy|corrupt|needs_operator|denied|declared_dead)$/, "bg-bad"],
  [/^signal\.(notice|rebalance)$|rolled|rolling|\.cordoned$|\.waiting$/, "bg-warn"],
  [/\.(done|passed|ready|running|committed|connected|found|registered)$/, "bg-good"],
];

export function EventList({ events, withSubject = true }: { events: readonly Event[]; withSubject?: boolean }) {
  return (
    <ol className="grid">
      {events.map((event) => (
        <li
          key={String(event.sequence)}
          className="grid grid-cols-[auto_4.5rem_minmax(0,1fr)] items-baseline gap-x-2.5 border-t border-line px-4 py-1.5 first:border-t-0"
        >
          <span
            aria-hidden="true"
            className={`size-1.5 translate-y-[-1px] rounded-full ${marks.find(([type]) => type.test(event.type))?.[1] ?? "bg-line"}`}
          />
          <span className="overflow-hidden text-xs text-soft">
            <Time at={event.at} />
          </span>
          <span className="min-w-0 break-words">
            {event.message} {withSubject && <ShortSubject event={event} />}
          </span>
        </li>
      ))}
    </ol>
  );
}

/** A name that the sentence says already becomes no second word; an id is said by its noun. */
function ShortSubject({ event: { subject, message } }: { event: Event }) {
  const [noun = "", id = ""] = subject.split("/");
  if (id === "") return null;
  if (noun === "node" || noun === "workload") {
    if (message.includes(id)) return null;
    return <span className="text-xs text-soft">{noun === "node" ? <NodeLink id={id} /> : <WorkloadLink name={id} />}</span>;
  }
  return (
    <span className="text-xs whitespace-nowrap text-soft">
      · <SubjectLink subject={subject} text={noun.replaceAll("-", " ")} />
    </span>
  );
}
