import { EventList } from "../ui/events.tsx";
import { Panel } from "../ui/panel.tsx";
import { useRecentEvents } from "./recent.ts";

const always = () => true;

/** What is on record of one thing. @param subject "node/n1" */
export function Happened({ subject }: { subject: string }) {
  const { events } = useRecentEvents(always, subject);
  return (
    <Panel title="Events" isFlush>
      {events.length === 0 ? (
        <p className="px-4 py-6 text-soft">Nothing is on record.</p>
      ) : (
        <EventList events={events} withSubject={false} />
      )}
    </Panel>
  );
}
