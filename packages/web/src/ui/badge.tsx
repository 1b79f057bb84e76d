import type { ReactNode } from "react";

export type Tone = "good" | "warn" | "bad" | "accent" | "plain";

const grounds: Readonly<Record<Tone, string>> = {
  good: "bg-good-ground text-good",
  warn: "bg-warn-ground text-warn",
  bad: "bg-bad-ground text-bad",
  accent: "bg-accent-ground text-accent",
  plain: "bg-raised text-soft",
};
/** A form besides the colour, for those who do not tell colours apart. */
const marks: Readonly<Record<Tone, string>> = {
  good: "M2 5.5 4.2 8 8.5 2.5",
  warn: "M5 1.5v4.2M5 8v.5",
  bad: "M2 2l6 6M8 2 2 8",
  accent: "M2 5h5M5 2.5 7.5 5 5 7.5",
  plain: "",
};

export function Badge({ tone = "plain", isLive = false, children }: { tone?: Tone; isLive?: boolean; children: ReactNode }) {
  return (
    <span className={`inline-flex h-5 items-center gap-1 rounded px-1.5 text-xs font-medium whitespace-nowrap ${grounds[tone]}`}>
      {marks[tone] !== "" && (
        <svg viewBox="0 0 10 10" className={`size-2.5 ${isLive ? "pulse" : ""}`} aria-hidden="true">
          <path d={marks[tone]} fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round" />
        </svg>
      )}
      {children}
    </span>
  );
}
