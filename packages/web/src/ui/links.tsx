// A thing is always a link to its page.
import { Link } from "@tanstack/react-router";
import { poolName } from "../format/pool.ts";

const look = "font-medium hover:underline underline-offset-2 break-words";

export const NodeLink = ({ id }: { id: string }) =>
  id === "" ? (
    <span className="text-soft">no node</span>
  ) : (
    <Link to="/nodes/$id" params={{ id }} className={look}>
      {id}
    </Link>
  );

export const WorkloadLink = ({ name }: { name: string }) => (
  <Link to="/workloads/$name" params={{ name }} className={look}>
    {name}
  </Link>
);

export const MigrationLink = ({ id, children }: { id: string; children?: React.ReactNode }) => (
  <Link to="/migrations/$id" params={{ id }} className={children === undefined ? `${look} font-mono text-xs` : look}>
    {children ?? id}
  </Link>
);

/** @param version undefined: the one in force. */
export const PolicyLink = ({ name, version, text }: { name: string; version?: string; text?: string }) => (
  <Link to="/policies/$name" params={{ name }} search={version === undefined ? {} : { version }} className={look}>
    {text ?? name}
  </Link>
);

/** @param version undefined: the one that is run now. */
export const RunbookLink = ({ name, version, text }: { name: string; version?: string; text?: string }) => (
  <Link to="/runbooks/$name" params={{ name }} search={version === undefined ? {} : { version }} className={look}>
    {text ?? name}
  </Link>
);

export const RunLink = ({ id, children }: { id: string; children?: React.ReactNode }) => (
  <Link to="/runbooks/runs/$id" params={{ id }} className={children === undefined ? `${look} font-mono text-xs` : look}>
    {children ?? id}
  </Link>
);

/** "decision/dec-…", "drill/…", "migration/…", "node/…", "policy/…", "runbook/…", "runbook-run/…", "snapshot/…", "workload/…" as links; anything else as it is. */
export function SubjectLink({ subject, text }: { subject: string; text?: string }) {
  const [noun = "", ...rest] = subject.split("/");
  const id = rest.join("/");
  if (noun === "node" && id !== "") return <NodeLink id={id} />;
  if (noun === "workload" && id !== "") return <WorkloadLink name={id} />;
  if (noun === "policy" && id !== "") {
    // policy/NAME, or policy/NAME@VERSION
    const [name = "", version] = id.split("@");
    return <PolicyLink name={name} {...(version === undefined ? {} : { version })} text={text ?? id} />;
  }
  if (noun === "snapshot" && id !== "")
    return (
      <Link to="/snapshots" search={{ open: id }} className={text === undefined ? `${look} font-mono text-xs` : look}>
        {text ?? id}
      </Link>
    );
  if (noun === "runbook" && id !== "") return <RunbookLink name={id} {...(text === undefined ? {} : { text })} />;
  // A run is the cause of what it makes with the step's name behind it.
  if (noun === "runbook-run" && id !== "")
    return <RunLink id={rest[0] ?? ""}>{text ?? (rest[1] === undefined ? undefined : `runbook: ${rest[1]}`)}</RunLink>;
  if (noun === "pool" && id !== "")
    return (
      <Link to="/risk" search={{ subject }} className={look}>
        <span title={id}>{text ?? poolName(id)}</span>
      </Link>
    );
  const to = placesOfIds[noun];
  if (to === undefined || id === "") return <span className="wrap-anywhere">{text ?? subject}</span>;
  return (
    <Link to={to} params={{ id }} className={text === undefined ? `${look} font-mono text-xs` : look}>
      {text ?? id}
    </Link>
  );
}

const placesOfIds: Readonly<Record<string, "/migrations/$id" | "/decisions/$id" | "/drills/$id">> = {
  migration: "/migrations/$id",
  decision: "/decisions/$id",
  drill: "/drills/$id",
};
