import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { clockTime, msOf, utcTime } from "../format/time.ts";
import { ago } from "../format/units.ts";
import { useNow } from "./now.ts";

interface Props {
  readonly at: Timestamp | number | undefined;
  /** "12 s ago" instead of the time of day. */
  readonly isAgo?: boolean;
}

/** In the viewer's zone; UTC for whoever points at it. */
export function Time({ at, isAgo = false }: Props) {
  const nowMs = useNow();
  const ms = typeof at === "number" ? at : msOf(at);
  if (ms === undefined) return <span className="text-soft">—</span>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={utcTime(ms)} className="nums whitespace-nowrap">
      {isAgo ? ago(ms, nowMs) : clockTime(ms, nowMs)}
    </time>
  );
}
