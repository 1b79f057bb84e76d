// A weekly window (UTC), as of guards and policies.
import { fault } from "@aether/contract";

export const wantedWindow = "a window is such as fri,sat@22:00-04:00 or 22:00-04:00 (UTC)";

/** "fri,sat@22:00-04:00" or "22:00-04:00". Throws INVALID_ARGUMENT. */
export function parseWindow(text: string): { readonly days: string[]; readonly from: string; readonly to: string } {
  const match = /^(?:([a-z,]+)@)?(\d\d:\d\d)-(\d\d:\d\d)$/.exec(text);
  if (match?.[2] === undefined || match[3] === undefined)
    throw fault("INVALID_ARGUMENT", `${JSON.stringify(text.slice(0, 60))} is no window`, { field: "window", hint: wantedWindow });
  return { days: match[1]?.split(",") ?? [], from: match[2], to: match[3] };
}
