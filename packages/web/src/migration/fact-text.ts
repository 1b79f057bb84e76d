import { bytes, count } from "../format/units.ts";

/** A fact of a phase: "bytes 2848505" is "2.72 MiB", "sent false" is "not sent", "detail …" is said by itself. */
export function factText(name: string, value: string): string {
  const words = name.replaceAll("_", " ");
  if (name === "detail") return value;
  if (value === "true") return words;
  if (value === "false") return `not ${words}`;
  if (/^\d+$/.test(value)) {
    if (name === "bytes") return bytes(Number(value));
    return /bytes$/i.test(name) ? `${words} ${bytes(Number(value))}` : `${words} ${count(Number(value))}`;
  }
  return `${words} ${value}`;
}

/** A digest is told by its beginning, a large number with its thousands. */
export const shortened = (text: string): string =>
  text.replace(/\b([0-9a-f]{12})[0-9a-f]{20,}\b/g, "$1…").replace(/^\d{4,}$|\b\d{4,}(?= bytes)/g, (digits) => count(Number(digits)));
