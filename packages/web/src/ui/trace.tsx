import { useQuery } from "@tanstack/react-query";
import { queries } from "../api/queries.ts";

/** A trace id, with the way to it where the control plane is told where traces are shown. */
export function TraceLink({ id }: { id: string }) {
  const { data: template } = useQuery(queries.traceUrl());
  if (id === "") return <span className="text-soft">—</span>;
  const text = <span className="font-mono text-xs break-all">{id}</span>;
  if (!template) return text;
  return (
    <a
      href={template.replaceAll("{traceId}", encodeURIComponent(id))}
      target="_blank"
      rel="noreferrer"
      className="underline hover:text-accent"
    >
      {text}
    </a>
  );
}
